//! A section as a PNG for a web page: grey, with the mask's outline in orange.
//!
//! One byte a pixel with a palette: 255 greys and one colour.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::slice::Slice;

/// The palette's last entry, which the outline uses; greys end below it.
const OUTLINE: u8 = 255;

/// Bright orange: told from grey on a screen, in print and by the colour-blind.
const OUTLINE_RGB: [u8; 3] = [255, 140, 0];

/// Shares of the non-zero values below and above which everything is black or white: a few bright vessels
/// must not darken the rest.
const BLACK_SHARE: f64 = 0.005;
const WHITE_SHARE: f64 = 0.995;

/// The section as a `data:` URL.
pub(super) fn data_url(slice: &Slice) -> Result<String, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, slice.width as u32, slice.height as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette());
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels(slice))?;
    writer.finish()?;
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(bytes)))
}

fn palette() -> Vec<u8> {
    let greys = (0..OUTLINE).flat_map(|index| [grey(index); 3]);
    greys.chain(OUTLINE_RGB).collect()
}

/// 0 to 254 spread over 0 to 255.
const fn grey(index: u8) -> u8 {
    (index as u16 * 255 / (OUTLINE as u16 - 1)) as u8
}

fn pixels(slice: &Slice) -> Vec<u8> {
    let [low, high] = window(&slice.values);
    let scale = f32::from(OUTLINE - 1) / (high - low).max(f32::MIN_POSITIVE);
    let shade = |value: f32| {
        // Background stays black, whatever the window.
        if value == 0.0 { 0 } else { ((value - low) * scale).clamp(0.0, f32::from(OUTLINE - 1)) as u8 }
    };
    let shaded = slice.values.iter().copied().map(shade);
    shaded.enumerate().map(|(index, shade)| if on_outline(slice, index) { OUTLINE } else { shade }).collect()
}

/// The values that become black and white.
fn window(values: &[f32]) -> [f32; 2] {
    let mut shown: Vec<f32> = values.iter().copied().filter(|value| *value != 0.0).collect();
    if shown.is_empty() {
        return [0.0, 1.0];
    }
    shown.sort_by(f32::total_cmp);
    [BLACK_SHARE, WHITE_SHARE].map(|share| shown[((shown.len() - 1) as f64 * share).round() as usize])
}

/// Marked, with a neighbour that is not: the border lies inside the mask.
fn on_outline(slice: &Slice, index: usize) -> bool {
    let (row, column) = (index / slice.width, index % slice.width);
    let unmarked = |inside: bool, neighbour: usize| !inside || !slice.marked[neighbour];
    slice.marked[index]
        && (unmarked(column > 0, index.wrapping_sub(1))
            || unmarked(column + 1 < slice.width, index + 1)
            || unmarked(row > 0, index.wrapping_sub(slice.width))
            || unmarked(row + 1 < slice.height, index + slice.width))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(values: Vec<f32>, marked: Vec<bool>) -> Slice {
        Slice { width: 5, height: 5, size_mm: [5.0; 2], values, marked }
    }

    #[test]
    fn the_outline_is_the_masks_border_and_the_file_reads_back() {
        let marked: Vec<bool> =
            (0..25).map(|i| (1..4).contains(&(i / 5)) && (1..4).contains(&(i % 5))).collect();
        let values: Vec<f32> = (0..25).map(|i| i as f32).collect();
        let slice = slice(values, marked);
        let url = data_url(&slice).unwrap();
        let bytes = STANDARD.decode(url.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; 25];
        reader.next_frame(&mut pixels).unwrap();
        let outline: Vec<usize> = (0..25).filter(|i| pixels[*i] == OUTLINE).collect();
        assert_eq!(outline, [6, 7, 8, 11, 13, 16, 17, 18]);
        assert_eq!([pixels[0], pixels[24]], [0, OUTLINE - 1]);
    }

    #[test]
    fn negative_values_are_shown_and_zero_is_black() {
        let mut values = vec![0.0; 25];
        (values[3], values[4], values[5]) = (-2.0, -1.0, 2.0);
        let pixels = pixels(&slice(values, vec![false; 25]));
        assert_eq!(pixels[..6], [0, 0, 0, 0, 63, 254]);
    }
}
