//! Tables with a header: values divided by commas, semicolons or tabs.

use std::path::Path;

use crate::error::{Error, Result};

/// The text of a file in UTF-8 or UTF-16, as spreadsheets write them, without a byte-order mark.
pub(super) fn read_text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    decode(&bytes).map_err(|problem| Error::format(path, problem))
}

/// `Err` is the rest of a sentence about the file.
fn decode(bytes: &[u8]) -> std::result::Result<String, String> {
    // The first character of a table is ASCII: its other byte of two is zero.
    let two: Option<fn([u8; 2]) -> u16> = match bytes {
        [0xff, 0xfe, ..] => Some(u16::from_le_bytes),
        [0xfe, 0xff, ..] => Some(u16::from_be_bytes),
        [first, 0, ..] if *first != 0 => Some(u16::from_le_bytes),
        [0, second, ..] if *second != 0 => Some(u16::from_be_bytes),
        _ => None,
    };
    let text = match two {
        Some(unit) => {
            let pairs = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
            let text: std::result::Result<String, _> = char::decode_utf16(pairs).collect();
            match text {
                Ok(text) if bytes.len().is_multiple_of(2) => text,
                _ => {
                    return Err("it looks like UTF-16, but is damaged; save it as UTF-8".to_owned());
                }
            }
        }
        None => String::from_utf8(bytes.to_vec()).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let line = 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
            format!("line {line}: it is not in UTF-8 (nor UTF-16); save it as UTF-8")
        })?,
    };
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

/// What divides the columns: of comma, semicolon and tab, the one that the first line has most of.
pub(super) fn delimiter(text: &str) -> u8 {
    let first = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    let count = |delimiter: u8| first.bytes().filter(|byte| *byte == delimiter).count();
    [b';', b'\t'].into_iter().fold(b',', |best, other| {
        if count(other) > count(best) {
            other
        } else {
            best
        }
    })
}

/// One line of a table.
#[derive(Debug, PartialEq)]
pub(super) struct Row<const N: usize> {
    /// Number of the line in the file, from 1.
    pub line: usize,
    /// The fields in the wanted columns, without spaces around them.
    pub fields: [String; N],
}

/// The rows of a table, reduced to the wanted columns; each may go by several names, of which the first
/// that the header has counts; case does not matter. `Err` is the rest of a sentence about the file.
pub(super) fn rows<const N: usize>(
    text: &str,
    wanted: [&[&str]; N],
) -> std::result::Result<Vec<Row<N>>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter(text))
        .trim(csv::Trim::All)
        .flexible(true)
        .from_reader(text.as_bytes());
    let header = reader.headers().map_err(|e| e.to_string())?.clone();
    let mut columns = [0; N];
    for (column, names) in columns.iter_mut().zip(wanted) {
        let find = |name: &&str| header.iter().position(|h| h.eq_ignore_ascii_case(name));
        *column = names.iter().find_map(find).ok_or_else(|| {
            format!(
                "its first line has no column `{}`, only `{}`",
                names.join("` or `"),
                header.iter().collect::<Vec<_>>().join(",")
            )
        })?;
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| e.to_string())?;
        let start = record.position().map_or(0, |p| p.byte() as usize);
        // The position is that of the empty lines before the record.
        let empty = text[start..].len() - text[start..].trim_start_matches(['\r', '\n']).len();
        let line = 1 + text[..start + empty].matches('\n').count();
        if record.len() != header.len() {
            return Err(format!(
                "line {line}: it has {} fields, the first line {}",
                record.len(),
                header.len()
            ));
        }
        let fields = columns.map(|column| record[column].to_owned());
        rows.push(Row { line, fields });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_in_any_order_and_lines_as_editors_count() {
        let text = "\r\nb, a ,c\r\n1,\"x, \"\"y\"\"\",\r\n\r\n 2,\"two\nlines\",\n\n\n3,é,5";
        let found = rows(text, [&["a"], &["z", "b"]]).expect("a table");
        let fields: Vec<_> = found
            .iter()
            .map(|row| row.fields.each_ref().map(String::as_str))
            .collect();
        assert_eq!(fields, [["x, \"y\"", "1"], ["two\nlines", "2"], ["é", "3"]]);
        let lines: Vec<usize> = found.iter().map(|row| row.line).collect();
        assert_eq!(lines, [3, 5, 9]);
        assert_eq!(rows("a,b\n", [&["a"]]), Ok(vec![]));
        for (text, words) in [
            ("", "no column `a`, only ``"),
            ("b,c\n1,2\n", "no column `a`, only `b,c`"),
            ("c;d\n1;2\n", "no column `a`, only `c,d`"),
            (
                "a,b\n1,2\n\n1\n",
                "line 4: it has 1 fields, the first line 2",
            ),
        ] {
            let error = rows(text, [&["a"]]).expect_err(words);
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn dialects_of_spreadsheets() {
        for text in ["A;b\n1;\"x;y\"\n", "a\tB\n1\tx;y\n", "a,b\n1,x;y"] {
            let found = rows(text, [&["a"], &["b"]]).expect(text);
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!(found[0].fields, ["1", "x;y"], "{text}");
        }
        let wide = |mark: bool, unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
            let text = if mark {
                "\u{feff}a,b\né,𝄞"
            } else {
                "a,b\né,𝄞"
            };
            text.encode_utf16().flat_map(unit).collect()
        };
        for mark in [true, false] {
            for bytes in [wide(mark, u16::to_le_bytes), wide(mark, u16::to_be_bytes)] {
                assert_eq!(decode(&bytes).as_deref(), Ok("a,b\né,𝄞"));
                let cut = decode(&bytes[..bytes.len() - 1]);
                assert!(cut.is_err_and(|e| e.contains("UTF-16")));
            }
        }
        assert_eq!(decode("\u{feff}é".as_bytes()).as_deref(), Ok("é"));
        assert!(decode(b"a\n\xe9,b").is_err_and(|e| e.starts_with("line 2: ")));
        assert_eq!(decode(b"").as_deref(), Ok(""));
    }
}
