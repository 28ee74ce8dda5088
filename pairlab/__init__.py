"""pairlab: one workload on virtual machines and on containers, declared once and measured."""
