"""The only user of Pulumi's Automation API: its CLI, plugins, state, and the operations on a lab's stack."""
