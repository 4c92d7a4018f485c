//! `tixing schedules report`: how a schedule went.

use super::{
    client::{Client, schedule},
    failure::Failure,
    out::{Out, data},
    progress::during,
    table::text,
};
use crate::{
    domain::timing::parse_instant,
    words::{Message, say, word::word},
};
use reqwest::Method;
use serde_json::Value;
use std::{io, path::Path};

/// Shows the report, or writes it as a workbook.
pub async fn run(client: &Client, name: &str, save: Option<&Path>, out: Out) -> Result<(), Failure> {
    if let Some(to) = save {
        return download(client, name, to, out).await;
    }
    let call = schedule(name, "/report");
    let asked = client.ask(Method::GET, &call, None);
    let report = during(out, say!("counting_report", name = name), asked).await?;
    if out.json {
        data!("{report}");
        return Ok(());
    }
    let zone = report["timezone"].as_str().and_then(|zone| zone.parse().ok());
    let out = Out { voice: out.voice.in_zone(zone), ..out };
    lines(&report).iter().for_each(|line| out.show(line));
    Ok(())
}

/// The report in sentences: each step with what was lost on the way to it, then the hours.
fn lines(report: &Value) -> Vec<Message> {
    let each = |member: &str| report[member].as_array().into_iter().flatten();
    let mut lines = vec![say!("report_of_schedule", name = report["schedule"], state = word(&text(&report["state"])))];
    for step in each("steps") {
        for loss in each("losses").filter(|loss| loss["step"] == step["step"]) {
            let (n, detail) = (&loss["n"], &loss["detail"]);
            lines.push(match loss["advice"].as_str() {
                Some(advice) => say!("report_loss_advice", n = n, why = detail, advice = advice),
                None => say!("report_loss", n = n, why = detail),
            });
        }
        let title = crate::schedule::report::title(&text(&step["step"]));
        lines.push(match step["share"].as_f64() {
            Some(share) => {
                let percent = format!("{:.1}", share * 100.0);
                say!("report_step_share", title = title, n = step["n"], percent = percent)
            }
            None => say!("report_step", title = title, n = step["n"]),
        });
    }
    for hour in each("hours") {
        let at = hour["hour"].as_str().and_then(|text| parse_instant(text, None).ok()).map(|written| written.at);
        let counts = hour["reminders"].as_object().into_iter().flatten();
        let counts: Vec<Message> = counts.map(|(state, n)| say!("report_count", n = n, state = word(state))).collect();
        lines.push(say!("report_hour_line", hour = at, counts = counts));
    }
    lines
}

/// The workbook takes its name when it is whole.
async fn download(client: &Client, name: &str, to: &Path, out: Out) -> Result<(), Failure> {
    if !to.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("xlsx")) {
        return Err(Failure::Usage(say!("report_not_xlsx", file = to.to_string_lossy())));
    }
    let cannot = |e: io::Error| Failure::Failed(say!("cannot_write", file = to.to_string_lossy(), why = e.to_string()));
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(cannot)?;
    let call = schedule(name, "/report.xlsx");
    let written = client.download(&call, file.as_file_mut());
    during(out, say!("counting_report", name = name), written).await?;
    file.persist(to).map_err(|e| cannot(e.error))?;
    out.tell(&say!("report_wrote", file = to.to_string_lossy()));
    Ok(())
}
