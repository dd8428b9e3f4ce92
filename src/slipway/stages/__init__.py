"""One module for each stage of `dvc.yaml`: functions from files to files, without network access."""
