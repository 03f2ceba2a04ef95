//! The Markdown report.

use crate::plan::{Params, Shape};
use crate::report::run_info::RunInfo;
use crate::report::table::{heap_tables, tables};
use crate::report::{mechanisms, targets};
use crate::rig::interval::CONFIDENCE;
use crate::runner::Entry;

/// The shapes whose memory depends on the load. For the others, the shape `memory` shows it.
const WITH_HEAP: &[&str] = &["funnel", "pinball", "tasks"];

/// The text of the report. `plots` are the plots that it shows: shape, fixed parameters and file
/// name.
pub fn report(
    info: &RunInfo,
    shapes: &[Shape],
    entries: &[Entry],
    plots: &[(&'static str, Params, String)],
) -> String {
    let machine = &info.machine;
    let mut text = format!(
        "# Benchmark results\n\n\
         How to read and repeat them: [README.md](README.md).\n\n\
         | | |\n|---|---|\n\
         | machine | {}, {} cores, {} |\n\
         | compiler | {} |\n\
         | commit | {} |\n\
         | command | `compare {}` |\n\
         | versions | {} |\n\n",
        machine.cpu,
        machine.cores,
        machine.system,
        machine.compiler,
        machine.commit,
        info.arguments,
        machine.versions_line(),
    );
    text.push_str(&format!(
        "Figures are medians of {} measured runs of about {} ms each; the subjects take turns, each time \
         in another random order (seed {}), and a warm-up run is not measured. A ratio says how many \
         times better a figure is than the best peer's in the same column: above 1 is better, whatever \
         the unit. It is the median of the ratios of the runs that followed each other. In parentheses \
         is its {:.0} % confidence interval, for the project's own subjects only; ▲ (ahead) and ▼ \
         (behind) mean that the interval excludes 1, = (even) that it does not, so that the runs do not \
         show which is better. Rows are sorted by the geometric mean of their ratios. The project's own \
         subjects are **bold**. No ratio is relative to subjects in *italics*, floors, which do less \
         than their competitors, nor to those with †, whose cancelled sends may have been sent. All \
         subjects use the same allocator, mimalloc. Only ratios carry over to other machines.\n",
        info.runs,
        info.target_ms,
        info.seed,
        100.0 * CONFIDENCE,
    ));
    for shape in shapes {
        text.push_str(&format!("\n## {}\n\n{}\n", shape.name, shape.about));
        let with_heap = WITH_HEAP.contains(&shape.name);
        let heap = heap_tables(shape.name, entries);
        for table in tables(shape.name, entries) {
            text.push_str(&format!("\n### {}\n\n{table}", table.title()));
            let heap = heap.iter().find(|heap| heap.fixed == table.fixed);
            if let Some(heap) = heap.filter(|_| with_heap) {
                text.push_str(&format!(
                    "\nPeak heap of the same cells, in bytes:\n\n{heap}"
                ));
            }
            for (of, fixed, file) in plots {
                if *of == shape.name && *fixed == table.fixed {
                    text.push_str(&format!("\n![{}]({file})\n", table.title()));
                }
            }
        }
    }
    let table = targets::table(&targets::outcomes(entries));
    if !table.is_empty() {
        text.push_str(
            "\n## Targets\n\nThe project's own targets, each with the figure of its worst cell. *met* is open if the interval \
             holds the target.\n\n",
        );
        text.push_str(&table);
    }
    let table = mechanisms::table(entries);
    if !table.is_empty() {
        text.push_str(
            "\n## Mechanisms\n\nHow many times better `lanemesh` is than itself without a mechanism, in the same cell: above 1 \
             the mechanism helps. *gains* and *loses* count the cells whose interval is above and below 1. Without \
             `--ablations`, only membarrier is left out.\n\n",
        );
        text.push_str(&table);
    }
    let failed: Vec<&Entry> = entries
        .iter()
        .filter(|entry| entry.fault.is_some())
        .collect();
    if !failed.is_empty() {
        text.push_str("\n## Failures\n\n");
        for entry in failed {
            let params: Vec<String> = entry
                .params
                .iter()
                .map(|(name, value)| format!("{name} {value}"))
                .collect();
            let fault = entry
                .fault
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            let params = params.join(", ");
            text.push_str(&format!(
                "- {} ({params}), {}: {fault}\n",
                entry.shape, entry.subject
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::run_info::tests::run_info;
    use crate::report::table::tests::entry;
    use crate::rig::fault::Fault;
    use crate::rivals::Role;
    use crate::shapes::funnel;

    #[test]
    fn report_names_machine_figures_and_failures() {
        let (info, shapes) = (run_info(), [funnel::SHAPE]);
        let mut entries = vec![
            entry("tokio", Role::Peer, 10, 1.0),
            entry("lanemesh", Role::Ours, 10, 2.0),
        ];
        let plots = [(
            "funnel",
            entries[0].params[..1].to_vec(),
            "funnel.svg".to_owned(),
        )];
        let text = report(&info, &shapes, &entries, &plots);
        for part in [
            "Some CPU",
            "2 cores",
            "rustc 1.0.0",
            "abcdef",
            "tokio 1.0.0",
            "--runs 1",
        ] {
            assert!(text.contains(part), "{part}");
        }
        assert!(text.contains("## funnel"));
        assert!(text.contains("2.00  2.00× (2.00–2.00) ▲"), "{text}");
        assert!(text.contains("seed 7"));
        assert!(text.contains("Peak heap of the same cells"));
        assert!(text.contains("(funnel.svg)"));
        assert!(!text.contains("## Failures"));

        entries[0].fault = Some(Fault::Hung);
        let text = report(&info, &shapes, &entries, &plots);
        assert!(
            text.contains("- funnel (rigs 61, capacity 10), tokio: "),
            "{text}"
        );
    }
}
