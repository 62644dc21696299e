//! Tables in Markdown, and the reports of other programs as such.

use serde_json::Value;

/// A table; columns after the first `left` are aligned right.
pub struct Table {
    text: String,
}

impl Table {
    pub fn new(header: &[&str], left: usize) -> Self {
        let rule = |i| if i < left { "---|" } else { "--:|" };
        let rules: String = (0..header.len()).map(rule).collect();
        Self {
            text: format!("| {} |\n|{rules}\n", header.join(" | ")),
        }
    }

    pub fn row(&mut self, cells: &[String]) {
        self.text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }

    pub fn finish(self) -> String {
        self.text
    }
}

/// `12.3`, with about three digits.
pub fn number(x: f64) -> String {
    let digits = match x.abs() {
        x if x >= 100.0 => 0,
        x if x >= 10.0 => 1,
        x if x >= 1.0 => 2,
        _ => 3,
    };
    format!("{x:.digits$}")
}

/// `37 %`
pub fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// What another program printed: Markdown as it is; of a JSON object every list of objects as a table, names first
/// and without single times, and the rest as a line.
pub fn pasted(text: &str) -> String {
    let Ok(Value::Object(object)) = serde_json::from_str(text) else {
        return text.trim().to_owned() + "\n";
    };
    let cell = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Number(x) if x.is_i64() => x.to_string(),
        Value::Number(x) => x.as_f64().map_or_else(|| x.to_string(), number),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let (mut line, mut tables) = (Vec::new(), String::new());
    for (name, value) in &object {
        let rows = value
            .as_array()
            .filter(|rows| rows.iter().all(Value::is_object));
        let Some(rows) = rows else {
            line.push(format!("{name}: {}", cell(value)));
            continue;
        };
        let objects = rows.iter().filter_map(Value::as_object);
        let mut columns: Vec<&str> = Vec::new();
        for (column, value) in objects.clone().flatten() {
            if !value.is_array() && !columns.contains(&column.as_str()) {
                columns.push(column);
            }
        }
        let is_name = |column: &&str| rows.iter().any(|row| row[*column].is_string());
        columns.sort_by_key(|column| !is_name(column));
        let mut table = Table::new(&columns, 1);
        for row in objects {
            let cells = columns.iter().map(|&column| row.get(column).map(cell));
            table.row(&cells.map(Option::unwrap_or_default).collect::<Vec<_>>());
        }
        tables.push_str(&format!("\n{}", table.finish()));
    }
    format!("{}\n{tables}", line.join("; "))
}
