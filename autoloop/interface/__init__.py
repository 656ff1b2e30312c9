"""The Python interface: runs, results and analysis for scripts and notebooks."""
