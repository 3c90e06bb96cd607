"""Pictures in and label maps out: decode, preprocess, upsample, draw."""
