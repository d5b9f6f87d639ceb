"""`tokenfactory agent`: GPU telemetry of one node through NVML, under dcgm-exporter's names."""
