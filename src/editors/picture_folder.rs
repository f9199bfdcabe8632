//! A folder of pictures whose names tell the stream time of the frame that each shows.

use std::{
    fs,
    path::{Path, PathBuf},
};

const EXTENSIONS: [&str; 7] = ["bmp", "jpeg", "jpg", "png", "tif", "tiff", "webp"];
const NANOSECONDS: u64 = 1_000_000_000;
/// As many decimals of a second make a nanosecond.
const DECIMALS: usize = 9;

/// A picture file and the stream time in its name, in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedPicture {
    /// Where it lies.
    pub file: PathBuf,
    /// When its frame shows.
    pub time: u64,
}

/// Why a folder cannot be taken; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It may not be read.
    #[error("edited-frame: the folder {folder} cannot be read: {cause}")]
    Unopened {
        /// Which folder.
        folder: PathBuf,
        /// The system's own words.
        cause: std::io::Error,
    },
    /// Nothing but hidden files lies in it.
    #[error("edited-frame: the folder {folder} holds no picture. Put edited frames there, {NAMES}")]
    Empty {
        /// Which folder.
        folder: PathBuf,
    },
    /// Names that tell no time, or files that are no pictures by their name.
    #[error("edited-frame: in the folder {folder} these are not understood: {}. Take them out, or name them: pictures {NAMES}", .names.join(", "))]
    Names {
        /// Which folder.
        folder: PathBuf,
        /// What was not understood, in the order of the names.
        names: Vec<String>,
    },
    /// Two names tell one time.
    #[error("edited-frame: {one} and {other} are of the same time. Take one of them out")]
    SameTime {
        /// One of them.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
}

const NAMES: &str = "named by the stream time of their frame, in seconds (0.png, 2.48.png) or as hours-minutes-seconds \
    (00-00-02.480.jpg), as PNG, JPEG, WebP, TIFF or BMP";

/// The pictures of `folder`, earliest first. Hidden files are left out.
///
/// # Errors
/// See [`FolderError`].
pub fn list(folder: &Path) -> Result<Vec<TimedPicture>, FolderError> {
    let (mut pictures, mut unknown) = (Vec::new(), Vec::new());
    for name in names(folder).map_err(|cause| FolderError::Unopened { folder: folder.into(), cause })? {
        let file = folder.join(&name);
        match time_of(&file) {
            Some(time) if !file.is_dir() => pictures.push(TimedPicture { file, time }),
            _ => unknown.push(name),
        }
    }
    if !unknown.is_empty() {
        return Err(FolderError::Names { folder: folder.into(), names: unknown });
    }
    if pictures.is_empty() {
        return Err(FolderError::Empty { folder: folder.into() });
    }
    pictures.sort_by_key(|picture| picture.time);
    match pictures.windows(2).find(|pair| pair[0].time == pair[1].time) {
        Some([one, other]) => Err(FolderError::SameTime { one: one.file.clone(), other: other.file.clone() }),
        _ => Ok(pictures),
    }
}

/// What is not hidden, in the order of the names.
fn names(folder: &Path) -> std::io::Result<Vec<String>> {
    let names: std::io::Result<Vec<String>> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect();
    let mut names = names?;
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    Ok(names)
}

/// The time in a picture file's name.
fn time_of(file: &Path) -> Option<u64> {
    let extension = file.extension()?.to_str()?.to_lowercase();
    EXTENSIONS.contains(&extension.as_str()).then_some(())?;
    nanoseconds(file.file_stem()?.to_str()?)
}

/// `2`, `2.48` or `0-00-02.48`.
fn nanoseconds(text: &str) -> Option<u64> {
    let parts: Vec<&str> = text.split('-').collect();
    match parts[..] {
        [seconds] => decimal(seconds),
        [hours, minutes, seconds] => {
            let below_sixty = |value: u64| (value < 60).then_some(value);
            let minutes = below_sixty(whole(minutes)?)?;
            let seconds = decimal(seconds).filter(|time| *time < 60 * NANOSECONDS)?;
            let minutes = whole(hours)?.checked_mul(60)?.checked_add(minutes)?;
            minutes.checked_mul(60 * NANOSECONDS)?.checked_add(seconds)
        }
        _ => None,
    }
}

/// Seconds with up to nine decimals, as nanoseconds.
fn decimal(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let nanoseconds = whole(fraction).filter(|_| fraction.len() <= DECIMALS)?;
    let nanoseconds = nanoseconds * 10u64.pow((DECIMALS - fraction.len()) as u32);
    whole(seconds)?.checked_mul(NANOSECONDS)?.checked_add(nanoseconds)
}

/// Digits alone.
fn whole(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_time() {
        for (text, time) in [
            ("0", 0),
            ("2.480", 2_480_000_000),
            ("2.48", 2_480_000_000),
            ("12.041666667", 12_041_666_667),
            ("00-00-02.480", 2_480_000_000),
            ("1-02-03", 3_723_000_000_000),
            ("100", 100_000_000_000),
        ] {
            assert_eq!(nanoseconds(text), Some(time), "{text}");
        }
        for text in [
            "",
            ".",
            "2.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "2,48",
            "frame 2",
            "00-60-00",
            "0-0-60",
            "1-2",
            "1-2-3-4",
            "1.0123456789",
            "99999999999999999999",
            "18446744074",
            "9999999999999-00-00",
        ] {
            assert_eq!(nanoseconds(text), None, "{text}");
        }
    }

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|file| fs::write(folder.path().join(file), b"").unwrap());
        folder
    }

    #[test]
    fn pictures_come_in_the_order_of_their_times() {
        let folder = folder(&["10.png", "9.JPG", "00-00-09.5.webp", ".DS_Store"]);
        let found = list(folder.path()).unwrap();
        let names: Vec<_> = found.iter().map(|picture| picture.file.file_name().unwrap()).collect();
        assert_eq!(names, ["9.JPG", "00-00-09.5.webp", "10.png"]);
        assert_eq!(found[1].time, 9_500_000_000);
    }

    #[test]
    fn what_is_not_understood_is_listed() {
        let folder = folder(&["0.png", "frame 2.png", "3.txt"]);
        fs::create_dir(folder.path().join("4.png")).unwrap();
        let told = list(folder.path()).unwrap_err().to_string();
        assert!(told.contains("3.txt, 4.png, frame 2.png") && told.contains("2.48.png"), "{told}");
    }

    #[test]
    fn an_empty_folder_and_two_pictures_of_one_time_are_refused() {
        let told = |files: &[&str]| list(folder(files).path()).unwrap_err().to_string();
        assert!(told(&[".hidden"]).contains("no picture"));
        let both = told(&["2.png", "2.0.png"]);
        assert!(both.contains("2.png") && both.contains("2.0.png"), "{both}");
    }
}
