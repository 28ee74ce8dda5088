"""Resources of the libvirt provider, on libvirt-python: one module each; those named `_…` are helpers."""
