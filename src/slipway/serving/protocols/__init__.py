"""Protocols of other servers, for the same model: Open Inference Protocol, MLflow's scoring server, Arrow streams."""
