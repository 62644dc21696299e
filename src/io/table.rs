//! Tables with a header: comma-separated values.

use std::path::Path;

use crate::error::{Error, Result};

/// The text of a file, without a byte-order mark.
pub(super) fn read_text(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
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
/// that the header has counts. `Err` is the rest of a sentence about the file.
pub(super) fn rows<const N: usize>(
    text: &str,
    wanted: [&[&str]; N],
) -> std::result::Result<Vec<Row<N>>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .from_reader(text.as_bytes());
    let header = reader.headers().map_err(|e| e.to_string())?.clone();
    let mut columns = [0; N];
    for (column, names) in columns.iter_mut().zip(wanted) {
        let find = |name: &&str| header.iter().position(|h| h == *name);
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
            (
                "a,b\n1,2\n\n1\n",
                "line 4: it has 1 fields, the first line 2",
            ),
        ] {
            let error = rows(text, [&["a"]]).expect_err(words);
            assert!(error.contains(words), "{error}");
        }
    }
}
