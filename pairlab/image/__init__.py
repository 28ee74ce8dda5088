"""One recipe -> root file system -> VM disk and container image, named by the digest of what went in."""
