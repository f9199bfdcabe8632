//! What words say of looks that the list does not say: `editor/words.safetensors`.

use std::{collections::HashMap, fs, path::Path};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::weights::WeightsError;

/// A table is far smaller; what is longer is another file.
const LONGEST: u64 = 16 << 20;

/// A vector for each of some 20,500 words, a component for each look: how much the word speaks for it. At 1 a word
/// alone asks for the look. How the table is made: `scripts/prompt_words.py`.
#[derive(Debug)]
pub(super) struct WordTable {
    rows: HashMap<String, usize>,
    /// Each column's look, as an index into the list; `None` where the list has no look of that name.
    columns: Vec<Option<usize>>,
    /// `[words, columns]`, in units of `scale`.
    vectors: Vec<i8>,
    scale: f64,
}

impl WordTable {
    /// Reads the table, if the model has one.
    ///
    /// - `names`: the looks of the list, in its order
    ///
    /// # Errors
    /// [`WeightsError::Unreadable`]: tensors are missing or of other kinds or shapes than each other needs.
    pub fn open(file: &Path, names: &[&str]) -> Result<Option<Self>, WeightsError> {
        if !file.exists() {
            return Ok(None);
        }
        let table = read(file).and_then(|bytes| Self::parse(&bytes, names));
        table.map(Some).map_err(|cause| WeightsError::Unreadable { file: file.into(), cause })
    }

    /// Tensors: `words` and `looks`, u8, lines of text; `vectors`, i8, `[words, looks]`; `scale`, f32, `[1]`.
    fn parse(bytes: &[u8], names: &[&str]) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let rows: HashMap<_, _> =
            lines(&file, "words")?.into_iter().enumerate().map(|(row, word)| (word, row)).collect();
        let columns: Vec<_> =
            lines(&file, "looks")?.iter().map(|look| names.iter().position(|name| name == look)).collect();
        let vectors = tensor(&file, "vectors", Dtype::I8)?;
        if vectors.shape() != [rows.len(), columns.len()] {
            let (words, looks) = (rows.len(), columns.len());
            return Err(format!("vectors is {:?} for {words} words and {looks} looks", vectors.shape()));
        }
        let scale = tensor(&file, "scale", Dtype::F32)?.data();
        let scale = f32::from_le_bytes(scale.try_into().map_err(|_| "scale is not one number")?);
        if !(scale.is_finite() && scale > 0.0) {
            return Err(format!("scale is {scale}"));
        }
        let vectors = vectors.data().iter().map(|&byte| byte.cast_signed()).collect();
        Ok(Self { rows, columns, vectors, scale: scale.into() })
    }

    /// Which looks `word`, in lower case, speaks for, and how much, above 0. Empty for a word that the table lacks.
    pub fn evidence(&self, word: &str) -> impl Iterator<Item = (usize, f64)> {
        let row = self.rows.get(word).map_or(&[][..], |row| {
            let width = self.columns.len();
            &self.vectors[row * width..(row + 1) * width]
        });
        row.iter().zip(&self.columns).filter_map(|(&value, &look)| {
            (value > 0).then_some(())?;
            Some((look?, f64::from(value) * self.scale))
        })
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let about = fs::metadata(file).map_err(|error| error.to_string())?;
    if !about.is_file() || about.len() > LONGEST {
        return Err(format!("not a file of at most {LONGEST} bytes"));
    }
    fs::read(file).map_err(|error| error.to_string())
}

fn tensor<'a>(file: &SafeTensors<'a>, key: &str, dtype: Dtype) -> Result<TensorView<'a>, String> {
    let tensor = file.tensor(key).map_err(|error| format!("{key}: {error}"))?;
    if tensor.dtype() != dtype {
        return Err(format!("{key} is {:?}, not {dtype:?}", tensor.dtype()));
    }
    Ok(tensor)
}

/// A text's lines.
fn lines(file: &SafeTensors, key: &str) -> Result<Vec<String>, String> {
    let text =
        std::str::from_utf8(tensor(file, key, Dtype::U8)?.data()).map_err(|_| format!("{key} is no text"))?;
    Ok(text.lines().map(Into::into).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two words, two looks.
    fn table(words: &str, vectors: &[u8], scale: f32) -> Vec<u8> {
        let scale = scale.to_le_bytes();
        let view = |dtype, shape, data| TensorView::new(dtype, shape, data).unwrap();
        let tensors = [
            ("words", view(Dtype::U8, vec![words.len()], words.as_bytes())),
            ("looks", view(Dtype::U8, vec![9], b"snow\nfire".as_slice())),
            ("vectors", view(Dtype::I8, vec![vectors.len() / 2, 2], vectors)),
            ("scale", view(Dtype::F32, vec![1], &scale)),
        ];
        safetensors::serialize(tensors, None).unwrap()
    }

    #[test]
    fn a_word_speaks_for_the_looks_of_its_columns() {
        let bytes = table("glacier\nlava", &[100, 0xff, 0, 50], 0.01);
        let table = WordTable::parse(&bytes, &["fire", "sea", "snow"]).unwrap();
        assert_eq!(table.evidence("glacier").collect::<Vec<_>>(), [(2, 100.0 * f64::from(0.01f32))]);
        assert_eq!(table.evidence("lava").collect::<Vec<_>>(), [(0, 50.0 * f64::from(0.01f32))]);
        assert_eq!(table.evidence("tree").count(), 0);
        let fewer = WordTable::parse(&bytes, &["fire"]).unwrap();
        assert_eq!(fewer.evidence("glacier").count(), 0, "a look that the list lacks is left out");
    }

    #[test]
    fn a_table_whose_parts_do_not_fit_is_refused() {
        for (bytes, complaint) in [
            (table("glacier\nlava", &[1, 2], 0.01), "vectors is [1, 2] for 2 words and 2 looks"),
            (table("glacier", &[1, 2], f32::NAN), "scale is NaN"),
            (b"no table".to_vec(), "header"),
        ] {
            let refused = WordTable::parse(&bytes, &["snow", "fire"]).unwrap_err();
            assert!(refused.to_lowercase().contains(&complaint.to_lowercase()), "{refused}");
        }
    }
}
