"""Serve Amazon Rekognition's wire API on Mien's own engine: an AWS client changes its endpoint URL and nothing else."""
