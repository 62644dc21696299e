//! `wizen devices`

use serde::Serialize;
use wizen::Result;
use wizen::gpu::{AdapterSummary, list_adapters};

use super::context::{Context, table};

#[derive(Serialize)]
struct Output {
    devices: Vec<AdapterSummary>,
}

pub async fn run(context: &Context) -> Result<()> {
    let devices = list_adapters().await;
    let output = Output { devices };
    context.finish(&output, || {
        if output.devices.is_empty() {
            return "no GPU adapter; `--device auto` runs on the CPU reference".to_owned();
        }
        let yes = |b: bool| if b { "yes" } else { "no" }.to_owned();
        let mut table = table(&[
            "#",
            "name",
            "backend",
            "type",
            "f16",
            "subgroups",
            "timestamps",
            "matrix",
            "buffer MiB",
            "driver",
        ]);
        for d in &output.devices {
            let subgroups = d.subgroups.map_or("no".to_owned(), |(min, max)| {
                if min == max {
                    min.to_string()
                } else {
                    format!("{min}–{max}")
                }
            });
            table.add_row(vec![
                format!("{}{}", d.index, if d.default { " *" } else { "" }),
                d.name.clone(),
                d.backend.clone(),
                d.device_type.clone(),
                yes(d.f16),
                subgroups,
                yes(d.timestamps),
                if d.cooperative_matrix.is_empty() {
                    "no".into()
                } else {
                    d.cooperative_matrix.join("; ")
                },
                (d.max_storage_binding >> 20).to_string(),
                d.driver.clone(),
            ]);
        }
        format!(
            "{table}\n* the one that `--device auto` takes; OpenGL is asked only where nothing else answers, or by \
             WGPU_BACKEND=gl"
        )
    })
}
