//! Pixels as PNG.

use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Filter};

use super::raster::Pixels;

/// The file's bytes.
pub(super) fn encode(pixels: &Pixels) -> Vec<u8> {
    let mut bytes = vec![];
    // Memory takes all that is written, and the size is that of the pixels.
    let written = try_encode(pixels, &mut bytes);
    debug_assert!(written.is_ok(), "{written:?}");
    bytes
}

fn try_encode(pixels: &Pixels, bytes: &mut Vec<u8>) -> Result<(), EncodingError> {
    let mut encoder = Encoder::new(bytes, pixels.width, pixels.height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::High);
    encoder.set_filter(Filter::Adaptive);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels.bytes)?;
    writer.finish()
}
