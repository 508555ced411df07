"""Scenes and networks in the formats of others: NumPy's arrays, COCO, Parquet, PNG; ONNX."""
