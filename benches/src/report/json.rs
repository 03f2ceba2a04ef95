//! `results.json`: an array with an object for every figure, for other programs to read.

use serde_json::{Map, Value as Json, json};

use crate::plan::Value;
use crate::runner::Entry;

/// The figures as JSON text.
pub fn results(entries: &[Entry]) -> String {
    let array: Vec<Json> = entries.iter().map(object).collect();
    let mut text = String::from("[\n");
    for (index, entry) in array.iter().enumerate() {
        let comma = if index + 1 < array.len() { "," } else { "" };
        text.push_str(&format!("{entry}{comma}\n"));
    }
    text.push_str("]\n");
    text
}

fn object(entry: &Entry) -> Json {
    let params: Map<String, Json> = entry
        .params
        .iter()
        .map(|(name, value)| {
            let value = match value {
                Value::Number(number) => json!(number),
                Value::Text(text) => json!(text),
            };
            ((*name).to_owned(), value)
        })
        .collect();
    let mut object = json!({
        "shape": entry.shape,
        "params": params,
        "subject": entry.subject,
        "unit": entry.unit.name(),
        "median": entry.median(),
        "runs": entry.runs,
        "bytes": entry.bytes,
    });
    if let Some(fault) = &entry.fault {
        object["error"] = json!(fault.to_string());
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::table::tests::entry;
    use crate::rig::fault::Fault;
    use crate::rivals::Role;

    #[test]
    fn results_read_back() {
        let mut entries = vec![
            entry("lanemesh", Role::Ours, 10, 2.5),
            entry("tokio", Role::Peer, 10, 1.0),
        ];
        entries[1].runs.clear();
        entries[1].fault = Some(Fault::Hung);
        let read: Json = serde_json::from_str(&results(&entries)).unwrap();
        let expected = json!({
            "shape": "funnel",
            "params": { "rigs": 61, "capacity": 10 },
            "subject": "lanemesh",
            "unit": "M msg/s",
            "median": 2.5,
            "runs": [2.5],
            "bytes": 1024,
        });
        assert_eq!(read[0], expected);
        assert_eq!(read[1]["median"], Json::Null);
        assert!(read[1]["error"].is_string());
    }

    #[test]
    fn no_figures_make_an_empty_array() {
        let read: Json = serde_json::from_str(&results(&[])).unwrap();
        assert_eq!(read, json!([]));
    }
}
