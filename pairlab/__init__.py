"""pairlab: one workload on virtual machines and on containers, declared once and measured."""

import os

# Before gRPC is loaded. Else its handler of forks starts a thread in the child, which the child's closing of
# files kills, now and then before it has become ssh (libvirt forks so): grpc/grpc#43055.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"
