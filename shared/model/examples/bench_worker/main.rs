//! Our side of `cargo xtask bench-train`: answers commands, one JSON line each, on standard output.
//!
//! ```text
//! {"prepare": {..}}             weights and cases of a workload, written to files      -> {}
//! {"build": {..}}               the network of a workload                              -> {"threads", "operations"}
//! "step"                        one training step                                      -> {"seconds"}
//! "evaluate"                    one batch                                    -> {"seconds", "logits", "tuned_share"}
//! {"gradients": {"file"}}       gradients of the next step, written to a file          -> {"loss", "noise"}
//! "peak_memory"                 highest resident memory since `build`                  -> {"mib", "idle_mib"}
//! "quit"
//! ```
//!
//! An answer `{"error": ".."}` says why there is none. `RAYON_NUM_THREADS` chooses the number of threads. The other
//! side, `benches/pytorch/worker.py`, reads what `prepare` writes and answers the same commands.

mod cases;
mod memory;
mod operations;
mod plan;
mod session;
mod stepping;
mod values;

use std::error::Error;
use std::io::BufRead;
use std::path::Path;

use serde_json::{Value, json};

use crate::plan::Plan;
use crate::session::Session;

/// Whatever went wrong, as a text for the other side of the pipe.
type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let idle_mib = memory::resident_mib("VmRSS");
    let mut session = None;
    for line in std::io::stdin().lock().lines() {
        let (name, request) = command(serde_json::from_str(&line?)?)?;
        if name == "quit" {
            break;
        }
        let reply = if name == "peak_memory" {
            Ok(json!({ "mib": memory::resident_mib("VmHWM"), "idle_mib": idle_mib }))
        } else {
            answer(&mut session, &name, &request)
        };
        println!("{}", reply.unwrap_or_else(|failure| json!({ "error": failure.to_string() })));
    }
    Ok(())
}

/// A command's name and what comes with it.
fn command(line: Value) -> Result<(String, Value), Failure> {
    match line {
        Value::String(name) => Ok((name, Value::Null)),
        Value::Object(fields) if fields.len() == 1 => fields.into_iter().next().ok_or("empty".into()),
        other => Err(format!("{other} is not a command").into()),
    }
}

fn answer(session: &mut Option<Session>, name: &str, request: &Value) -> Result<Value, Failure> {
    match name {
        "prepare" => {
            values::write(&Plan::read(request)?)?;
            return Ok(json!({}));
        }
        "build" => {
            let plan = Plan::read(request)?;
            let operations = operations::of_workload(&plan);
            *session = Some(Session::new(plan)?);
            memory::forget_peak()?;
            return Ok(json!({ "threads": rayon::current_num_threads(), "operations": operations }));
        }
        _ => {}
    }
    let session = session.as_mut().ok_or("build first")?;
    match name {
        "step" => Ok(json!({ "seconds": session.step()? })),
        "evaluate" => session.evaluate(),
        "gradients" => {
            session.gradients(Path::new(request["file"].as_str().ok_or("gradients go to a file")?))
        }
        unknown => Err(format!("`{unknown}` is not a command").into()),
    }
}
