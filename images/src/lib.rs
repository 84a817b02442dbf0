//! OCI images for Lambent.
