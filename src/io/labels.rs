//! Names of classes.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::table::{delimiter, read_text, rows};
use crate::error::{Error, Result};

/// Columns of a table that may hold the name of a class, the first found counts.
const NAME_COLUMNS: [&str; 3] = ["class_name", "label", "name"];

/// Reads the names of `classes` classes, by index. The file is
/// * a table (CSV) whose header has `class_index` and `class_name` (or `label`, or `name`), in any order;
///   classes that it does not mention are named by their index; or
/// * a JSON array of `classes` strings; or
/// * a JSON dictionary from index to name (`{"0": "tench"}`), from index to `[synset, name]` as Keras and many
///   tutorials hand out, or from name to index (`{"tench": 0}`); or
/// * text with one name per line, `classes` lines.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read or is not UTF-8; [`Error::Format`] if there are more or fewer
/// names than classes (with both numbers), and for a damaged table or array (with the line).
pub fn read_class_names(path: impl AsRef<Path>, classes: usize) -> Result<Vec<String>> {
    let path = path.as_ref();
    parse(&read_text(path)?, classes).map_err(|p| Error::format(path, p))
}

/// `Err` is the rest of a sentence about the file.
fn parse(text: &str, classes: usize) -> std::result::Result<Vec<String>, String> {
    let header = text.lines().next().unwrap_or_default();
    let columns = header.split(char::from(delimiter(text)));
    if columns
        .map(str::trim)
        .any(|name| name.eq_ignore_ascii_case("class_index"))
    {
        return from_table(text, classes);
    }
    let names: Vec<String> = if text.trim_start().starts_with('{') {
        from_dictionary(text)?
    } else if text.trim_start().starts_with('[') {
        serde_json::from_str(text)
            .map_err(|e| format!("it is no JSON array of strings, one per class: {e}"))?
    } else {
        let lines = text.trim_end().lines();
        lines.map(|line| line.trim().to_owned()).collect()
    };
    if names.len() != classes {
        return Err(format!(
            "it has {} names, the model knows {classes} classes",
            names.len()
        ));
    }
    Ok(names)
}

/// From index to name, from index to several names of which the last is for people, or from name to index.
fn from_dictionary(text: &str) -> std::result::Result<Vec<String>, String> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Entry {
        Name(String),
        Names(Vec<String>),
        Index(usize),
    }
    let entries: BTreeMap<String, Entry> = serde_json::from_str(text)
        .map_err(|e| format!("it is no JSON dictionary between indices and names: {e}"))?;
    let count = entries.len();
    let mut names: Vec<Option<String>> = vec![None; count];
    for (key, entry) in entries {
        let (index, name) = match entry {
            Entry::Index(index) => (Some(index), Some(key.clone())),
            Entry::Name(name) => (key.parse().ok(), Some(name)),
            Entry::Names(names) => (key.parse().ok(), names.last().cloned()),
        };
        let place = index.and_then(|index: usize| names.get_mut(index));
        match (place, name) {
            (Some(place @ None), Some(name)) => *place = Some(name),
            _ => {
                return Err(format!(
                    "its entry `{key}` does not name one class of {count}, as {{\"0\": \"cat\"}}, \
                     {{\"0\": [\"n02\", \"cat\"]}} or {{\"cat\": 0}} do"
                ));
            }
        }
    }
    // As many places as entries, each filled once.
    Ok(names.into_iter().flatten().collect())
}

fn from_table(text: &str, classes: usize) -> std::result::Result<Vec<String>, String> {
    let mut names: Vec<Option<String>> = vec![None; classes];
    for row in rows(text, [&["class_index"], &NAME_COLUMNS])? {
        let (line, [index, name]) = (row.line, row.fields);
        let place = index.parse().ok().and_then(|i: usize| names.get_mut(i));
        let place = place.ok_or_else(|| {
            format!(
                "line {line}: the class index is `{index}`, expected a whole number below the model's \
                 {classes} classes"
            )
        })?;
        match place {
            Some(known) if *known != name => {
                return Err(format!(
                    "line {line}: class {index} is `{name}`, in a line above `{known}`"
                ));
            }
            _ => *place = Some(name),
        }
    }
    let or_index = |(i, name): (usize, Option<String>)| name.unwrap_or_else(|| i.to_string());
    Ok(names.into_iter().enumerate().map(or_index).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_arrays_and_tables() {
        let three = Ok(["a", "b, c", "d"].map(str::to_owned).to_vec());
        assert_eq!(parse("a\nb, c\nd", 3), three);
        assert_eq!(parse("a\r\n b, c\r\nd\r\n\r\n", 3), three);
        assert_eq!(parse("[\"a\", \"b, c\",\n\"d\"]\n", 3), three);
        let dictionary =
            "{\"1\": [\"n2\", \"b, c\"], \"0\": [\"n1\", \"a\"], \"2\": [\"n3\", \"d\"]}";
        assert_eq!(parse(dictionary, 3), three);
        assert_eq!(
            parse("{\"0\": \"a\", \"2\": \"d\", \"1\": \"b, c\"}", 3),
            three
        );
        assert_eq!(parse(" {\"d\": 2, \"a\": 0, \"b, c\": 1}", 3), three);
        assert_eq!(parse("class_index;name\n0;a\n1;b, c\n2;d", 3), three);
        let table = "filename,class_index,class_name\nx.jpg,2,d\ny.jpg, 1,\"b, c\"\nz.jpg,2,d\n";
        let named = Ok(["0", "b, c", "d", "3"].map(str::to_owned).to_vec());
        assert_eq!(parse(table, 4), named);
        assert_eq!(parse("name,class_index\na,0\n\"b, c\",1\nd,2", 3), three);
    }

    #[test]
    fn what_does_not_fit_is_a_sentence() {
        let says = |text: &str, words: &str| {
            let error = parse(text, 3).expect_err(words);
            assert!(error.contains(words), "{error}");
        };
        says("", "it has 0 names, the model knows 3 classes");
        says("a\nb\n", "it has 2 names, the model knows 3 classes");
        says("a\nb\nc\nd\n", "it has 4 names, the model knows 3 classes");
        says(
            "[\"a\", \"b\"]",
            "it has 2 names, the model knows 3 classes",
        );
        says("[\"a\", 2]", "no JSON array of strings");
        says(
            "{\"0\": \"a\"}",
            "it has 1 names, the model knows 3 classes",
        );
        says(
            "{\"0\": \"a\", \"2\": \"c\"}",
            "its entry `2` does not name",
        );
        says(
            "{\"a\": 0, \"b\": 0, \"c\": 1}",
            "its entry `b` does not name",
        );
        says("{\"x\": \"a\"}", "its entry `x` does not name");
        says("{\"0\": {}}", "no JSON dictionary");
        says(
            "class_index,synset\n0,n0",
            "no column `class_name` or `label`",
        );
        says(
            "class_index,name\n0,a\n3,b",
            "line 3: the class index is `3`",
        );
        says("class_index,name\n-1,a", "line 2: the class index is `-1`");
        says(
            "class_index,name\n1,a\n1,b",
            "line 3: class 1 is `b`, in a line above `a`",
        );
        says("class_index,name\n1\n", "line 2: it has 1 fields");
    }
}
