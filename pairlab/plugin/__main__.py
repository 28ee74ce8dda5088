"""`python -m pairlab.plugin docker ENGINE_ADDRESS`: how the engine starts an embedded plugin."""

import sys

from pairlab.plugin.server import serve

serve(sys.argv[1])
