"""The command line for operators; output that is data goes to stdout, everything else to stderr."""
