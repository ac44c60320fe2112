//! An address as a QR code: a path for the page, blocks for a terminal.
//!
//! Owns the drawing only. Does not know what the text means.

use qrcode::{Color, EcLevel, QrCode};
use thiserror::Error;

/// Modules of white that a reader needs on every side (ISO/IEC 18004, 6.3.8).
const QUIET: usize = 4;

/// A QR code, ready to be drawn. Whoever draws it leaves four modules of white on every side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qr {
    /// Modules on each side.
    pub size: usize,
    /// The dark modules as the `d` of one SVG path, each module 1 by 1.
    pub path: String,
    dark: Vec<bool>,
}

/// The text does not fit into a QR code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the text is too long for a QR code")]
pub struct QrError;

/// Makes the QR code of a text, with the middle level of correction: a screen is not torn, but it glares.
///
/// # Errors
/// When the text is longer than the largest code takes.
pub fn qr(text: &str) -> Result<Qr, QrError> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).map_err(|_| QrError)?;
    let size = code.width();
    let dark: Vec<bool> = code.to_colors().into_iter().map(|color| color == Color::Dark).collect();
    let mut path = String::new();
    for (y, row) in dark.chunks(size).enumerate() {
        let mut x = 0;
        while x < size {
            let run = row[x..].iter().take_while(|dark| **dark).count();
            if run > 0 {
                path.push_str(&format!("M{x} {y}h{run}v1h-{run}z"));
            }
            x += run.max(1);
        }
    }
    Ok(Qr { size, path, dark })
}

impl Qr {
    /// The code for a terminal with its white margin, two modules to a character. The light modules are what is
    /// printed: on a dark screen the code is the right way round.
    #[must_use]
    pub fn terminal(&self) -> String {
        let light = |x: usize, y: usize| {
            let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < self.size);
            !matches!((inside(x), inside(y)), (Some(x), Some(y)) if self.dark[y * self.size + x])
        };
        let width = self.size + 2 * QUIET;
        let mut lines = String::new();
        for y in (0..width).step_by(2) {
            for x in 0..width {
                lines.push(match (light(x, y), light(x, y + 1)) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                });
            }
            lines.push('\n');
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_a_code_becomes_a_path_and_blocks() {
        let code = qr("http://192.168.178.24:3001/join#ABCD-EFGH").unwrap();
        assert_eq!(code.size, 29, "version 3 holds it");
        assert!(code.path.starts_with("M0 0h7v1h-7z"), "the first finder pattern: {}", &code.path[..20]);
        let lines: Vec<String> = code.terminal().lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), (code.size + 2 * QUIET).div_ceil(2));
        assert!(lines.iter().all(|line| line.chars().count() == code.size + 2 * QUIET));
        assert!(lines[0].chars().all(|c| c == '█'));
    }

    #[test]
    fn what_does_not_fit_is_said() {
        assert_eq!(qr(&"x".repeat(5000)), Err(QrError));
    }
}
