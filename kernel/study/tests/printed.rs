//! The printed forms of the report's figures, as `snapshots` has them.

use benchbook_chart::Chart;
use benchbook_display::Rich;
use benchbook_study::{Study, published, report_2019};
use insta::assert_snapshot;

#[test]
fn the_reports_table_has_its_ratios_struck_with_the_reason_and_the_figure_per_image() {
    assert_snapshot!(Study::of_records(report_2019()).table().unwrap().to_text());
}

#[test]
fn the_reports_verdict_says_why_no_ratio_counts() {
    assert_snapshot!(Study::of_records(report_2019()).verdict().join("\n"));
}

#[test]
fn a_record_shows_its_conditions_and_results() {
    assert_snapshot!(report_2019()[0].bundle().plain());
}

#[test]
fn the_phases_of_a_record_are_bars_with_the_conditions_under_the_title() {
    assert_snapshot!(report_2019()[0].phase_chart().unwrap().svg());
}

#[test]
fn libraries_that_the_report_named_have_a_row_with_source_or_reason() {
    assert_snapshot!(published().table().unwrap().to_text());
}
