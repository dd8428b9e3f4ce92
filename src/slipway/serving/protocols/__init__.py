"""Other servers' protocols over the same model: Open Inference Protocol, MLflow's scoring server, Arrow streams."""
