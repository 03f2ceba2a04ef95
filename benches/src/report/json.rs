//! `results.json`: an array with an object for every figure, for use by other programs.

use serde_json::{Map, Value as Json, json};

use crate::plan::{Cell, METRIC, Params, Value};
use crate::report::ratio::{best_peer, ratio};
use crate::rig::fault::Fault;
use crate::rig::interval::Verdict;
use crate::rig::stats::Unit;
use crate::runner::Entry;

/// The text of a `results.json`.
pub fn results(entries: &[Entry]) -> String {
    let array: Vec<Json> = entries.iter().map(|entry| object(entry, entries)).collect();
    let mut text = String::from("[\n");
    for (index, entry) in array.iter().enumerate() {
        let comma = if index + 1 < array.len() { "," } else { "" };
        text.push_str(&format!("{entry}{comma}\n"));
    }
    text.push_str("]\n");
    text
}

fn object(entry: &Entry, entries: &[Entry]) -> Json {
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
        "ratio": to_best_peer(entry, entries),
    });
    if let Some(fault) = &entry.fault {
        object["error"] = json!(fault.to_string());
    }
    object
}

/// The ratio to the best peer of the same cell, with its interval and what it says; null if the
/// figure is not compared.
fn to_best_peer(entry: &Entry, entries: &[Entry]) -> Json {
    let compared =
        best_peer(entry, entries, |_| true).and_then(|peer| Some((peer, ratio(entry, peer)?)));
    let Some((peer, ratio)) = compared else {
        return Json::Null;
    };
    json!({
        "to": peer.subject,
        "median": ratio.median,
        "interval": ratio.interval.map(|(low, high)| [low, high]),
        "verdict": ratio.verdict().map(Verdict::name),
    })
}

/// Reads the text of a `results.json`. What is computed from its runs is computed again.
///
/// `cells` are those of a full run. The names of a figure's shape, subject and parameters must
/// occur in them; the subject's role comes from its cell.
///
/// # Errors
///
/// What is wrong with the JSON, or the first figure that matches no cell.
pub(super) fn read(text: &str, cells: &[Cell]) -> Result<Vec<Entry>, String> {
    let array: Vec<Json> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    array
        .iter()
        .map(|object| entry(object, cells).ok_or_else(|| format!("unknown figure {object}")))
        .collect()
}

fn entry(object: &Json, cells: &[Cell]) -> Option<Entry> {
    let (shape, subject) = (object["shape"].as_str()?, object["subject"].as_str()?);
    let cell = cells
        .iter()
        .find(|cell| cell.shape == shape && cell.has_row(subject))?;
    let of_shape = || cells.iter().filter(|cell| cell.shape == shape);
    let params: Params = object["params"]
        .as_object()?
        .iter()
        .map(|(name, value)| {
            let names = of_shape().flat_map(|cell| cell.params.iter().map(|(name, _)| *name));
            let name = names.chain([METRIC]).find(|known| known == name)?;
            let value = match value {
                Json::String(text) => Value::from(text.as_str()),
                number => Value::Number(number.as_u64()?),
            };
            Some((name, value))
        })
        .collect::<Option<_>>()?;
    let runs = object["runs"].as_array()?;
    Some(Entry {
        shape: cell.shape,
        params,
        subject: match cell.without_membarrier {
            Some(name) if name == subject => name,
            _ => cell.subject,
        },
        role: cell.role,
        unit: Unit::from_name(object["unit"].as_str()?)?,
        runs: runs.iter().map(Json::as_f64).collect::<Option<_>>()?,
        bytes: object["bytes"].as_u64(),
        fault: object["error"]
            .as_str()
            .map(|error| Fault::Failed(error.to_owned())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Effort;
    use crate::report::table::tests::entry;
    use crate::rivals::Role;
    use crate::shapes::funnel;

    #[test]
    fn results_read_back() {
        let mut entries = vec![
            entry("lanemesh", Role::Ours, 10, 2.5),
            entry("tokio", Role::Peer, 10, 1.0),
            entry("kanal", Role::Peer, 10, 2.0),
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
            "runs": [2.5, 2.5, 2.5, 2.5, 2.5, 2.5],
            "bytes": 1024,
            "ratio": { "to": "kanal", "median": 1.25, "interval": [1.25, 1.25], "verdict": "ahead" },
        });
        assert_eq!(read[0], expected);
        assert_eq!(read[1]["median"], Json::Null);
        assert!(read[1]["error"].is_string());
        assert_eq!(read[1]["ratio"], Json::Null);
        assert_eq!(read[2]["ratio"]["verdict"], "even");
    }

    #[test]
    fn no_figures_make_an_empty_array() {
        let read: Json = serde_json::from_str(&results(&[])).unwrap();
        assert_eq!(read, json!([]));
    }

    #[test]
    fn entries_read_back() {
        let mut entries = vec![
            entry("lanemesh", Role::Ours, 10, 2.5),
            entry("tokio", Role::Peer, 10, 1.0),
        ];
        entries[1].fault = Some(Fault::Failed("lost".to_owned()));
        let cells = (funnel::SHAPE.cells)(&Effort::full());
        let read = read(&results(&entries), &cells).unwrap();
        assert_eq!(results(&read), results(&entries));
        assert_eq!(read[0].role, Role::Ours);
    }

    #[test]
    fn figure_of_an_unknown_subject_is_refused() {
        let entries = [entry("newcomer", Role::Peer, 10, 1.0)];
        let cells = (funnel::SHAPE.cells)(&Effort::full());
        let error = read(&results(&entries), &cells).unwrap_err();
        assert!(error.contains("newcomer"), "{error}");
    }
}
