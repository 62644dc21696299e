//! Class numbers of a data set as a network counts them.

use super::dataset::Dataset;
use crate::error::{Error, Result};

/// Names that are shown in a sentence, at most.
const SHOWN: usize = 4;

impl Dataset {
    /// The same images with the class numbers of a network that knows `classes` classes, called `known` (empty if
    /// they have no names).
    ///
    /// Numbers that a table or format states are taken as they are. Classes that are names alone, as those of
    /// folders, are looked up among `known` (spaces, hyphens, underscores and case do not matter). Without names
    /// in the network, as many classes as it knows are taken in the order of their names, as torchvision's
    /// `ImageFolder` numbers them, and [`Dataset::notes`] says so; other names must be class numbers themselves.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a number that the network does not know, for names that are not among `known`
    /// or there twice, and if the network has no names and another number of classes.
    pub fn numbered_for(self, known: &[String], classes: usize) -> Result<Self> {
        let wrong = |problem: String| Err(Error::invalid(self.name(), problem));
        if self.labels().is_empty() {
            return Ok(self);
        }
        if !self.sorted {
            if self.classes > classes {
                return wrong(format!(
                    "its labels go up to {}, the model knows {classes} classes, 0 to {}",
                    self.classes - 1,
                    classes.saturating_sub(1)
                ));
            }
            return Ok(self);
        }
        let own = &self.class_names;
        if !known.is_empty() {
            let numbers = match look_up(own, known) {
                Ok(numbers) => numbers,
                Err(problem) => return wrong(problem),
            };
            return Ok(self.renumbered(&numbers, known.to_vec()));
        }
        if own.len() == classes {
            let shown = own.iter().enumerate().take(SHOWN);
            let shown: Vec<String> = shown.map(|(i, name)| format!("{i} = {name}")).collect();
            let more = if own.len() > SHOWN { ", …" } else { "" };
            let note = format!(
                "the model does not say what its classes are called: they are taken in the order of the names \
                 ({}{more}); --labels says otherwise",
                shown.join(", ")
            );
            let mut data = self;
            data.notes.push(note);
            return Ok(data);
        }
        let numbers: Option<Vec<u32>> = own.iter().map(|name| name.parse().ok()).collect();
        match numbers {
            Some(numbers) if numbers.iter().all(|&n| (n as usize) < classes) => {
                let names = (0..classes).map(|n| n.to_string()).collect();
                Ok(self.renumbered(&numbers, names))
            }
            _ => wrong(format!(
                "it has {} classes ({}), the model knows {classes} and not what they are called, so which is which \
                 is unknown; give the names of the model's classes with --labels, or a table beside the folder \
                 with the columns filename,class_index; to learn other classes than the model's, train it with \
                 --new-head",
                own.len(),
                some(own.iter())
            )),
        }
    }

    /// The same with the class numbers of another set whose classes are names: one may lack some, but not have
    /// others.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming a class that `other` lacks.
    #[cfg(feature = "data")]
    pub(super) fn sorted_as(self, other: &Self) -> Result<Self> {
        if !(self.sorted && other.sorted) || self.class_names == other.class_names {
            return Ok(self);
        }
        let own = &self.class_names;
        let place = |name: &String| other.class_names.iter().position(|known| known == name);
        if let Some(name) = own.iter().find(|name| place(name).is_none()) {
            let problem = format!("it has a class `{name}` that {} lacks", other.name());
            return Err(Error::invalid(self.name(), problem));
        }
        let numbers: Vec<u32> = own.iter().filter_map(place).map(|n| n as u32).collect();
        let mut same = self.renumbered(&numbers, other.class_names.clone());
        same.sorted = true;
        Ok(same)
    }

    /// Class `i` becomes `numbers[i]`.
    fn renumbered(mut self, numbers: &[u32], names: Vec<String>) -> Self {
        for label in &mut self.labels {
            *label = numbers[*label as usize];
        }
        (self.classes, self.class_names, self.sorted) = (names.len(), names, false);
        self
    }
}

/// The place of each of `own` among `known`. `Err` is the rest of a sentence about the data.
fn look_up(own: &[String], known: &[String]) -> std::result::Result<Vec<u32>, String> {
    let plain = |name: &String| name.trim().to_lowercase().replace([' ', '-'], "_");
    let known_plain: Vec<String> = known.iter().map(plain).collect();
    let place = |name: &String| known_plain.iter().position(|other| *other == plain(name));
    let missing: Vec<&String> = own.iter().filter(|name| place(name).is_none()).collect();
    if !missing.is_empty() {
        return Err(format!(
            "the model has no class called {}; its classes are {}. Rename them, or give the model's names with \
             --labels",
            some(missing.into_iter()),
            some(known.iter())
        ));
    }
    let numbers: Vec<u32> = own.iter().filter_map(place).map(|n| n as u32).collect();
    match (1..numbers.len()).find(|&i| numbers[..i].contains(&numbers[i])) {
        Some(i) => Err(format!(
            "two of its classes are the model's class `{}`",
            known[numbers[i] as usize]
        )),
        None => Ok(numbers),
    }
}

/// The first names of a list.
fn some<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    let more = names.len().saturating_sub(SHOWN);
    let shown: Vec<String> = names.take(SHOWN).map(|name| format!("`{name}`")).collect();
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(names: &[&str]) -> Dataset {
        let n = names.len();
        let labels = (0..n as u32).collect();
        let mut data = Dataset::new("d", vec![0; n], labels, [1, 1, 1], n).expect("consistent");
        (data.class_names, data.sorted) = (owned(names), true);
        data
    }

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn names_decide_where_they_are_known() {
        let known = owned(&["Ship", "cat", "sea lion"]);
        let data = folders(&["cat", "sea-lion"])
            .numbered_for(&known, 3)
            .expect("both known");
        assert_eq!((data.labels(), data.classes()), (&[1, 2][..], 3));
        assert_eq!(data.class_names(), known);
        let says = |names: &[&str], known: &[&str], classes, words: &str| {
            let result = folders(names).numbered_for(&owned(known), classes);
            let error = result.expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        };
        says(
            &["cat", "dog"],
            &["cat", "ship"],
            2,
            "no class called `dog`; its classes are `cat`, `ship`",
        );
        says(
            &["a b", "a_b"],
            &["A_B", "c"],
            2,
            "two of its classes are the model's class `A_B`",
        );
        says(
            &["a", "b"],
            &[],
            5,
            "it has 2 classes (`a`, `b`), the model knows 5",
        );
        says(&["1", "7"], &[], 5, "the model knows 5");
    }

    #[test]
    fn order_decides_only_where_the_counts_agree() {
        let data = folders(&["a", "b"]).numbered_for(&[], 2).expect("two");
        assert_eq!(data.labels(), [0, 1]);
        assert!(
            data.notes()[0].contains("0 = a, 1 = b"),
            "{:?}",
            data.notes()
        );
        let data = folders(&["04", "2"]).numbered_for(&[], 5).expect("numbers");
        assert_eq!((data.labels(), data.classes()), (&[4, 2][..], 5));
        assert!(data.notes().is_empty());
    }

    #[test]
    fn stated_numbers_stay() {
        let stated =
            || Dataset::new("d", vec![0; 2], vec![3, 0], [1, 1, 1], 4).expect("consistent");
        assert_eq!(stated().numbered_for(&[], 9).expect("below 9"), stated());
        let error = stated()
            .numbered_for(&[], 3)
            .expect_err("three classes")
            .to_string();
        assert!(
            error.contains("labels go up to 3, the model knows 3 classes, 0 to 2"),
            "{error}"
        );
    }
}
