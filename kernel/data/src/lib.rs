//! Image folders, decoding, transforms and the data loader.
