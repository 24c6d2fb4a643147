"""Programs that are run on the server, each as `python -m hubrun_hub.programs.NAME`."""
