"""One module for each stage of `dvc.yaml`: functions of files to files, which never talk to a server."""
