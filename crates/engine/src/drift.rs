//! Holds a new plan against the work that is done: a plan that contradicts it must not be followed.

use crate::fault::ActionError;
use crate::journal::History;
use hostwright_model::fault::FaultKind;
use hostwright_model::plan::{Action, Plan};
use serde_json::Value;

/// Fails if a finished step is gone from the plan or does something else now.
pub(crate) fn check(history: &History, plan: &Plan) -> Result<(), ActionError> {
    for done in history.finished_steps() {
        let planned = plan.steps().find(|(_, step)| step.id == done.step);
        let difference = match planned {
            None => "it is not in the plan any more".to_owned(),
            Some((_, step)) if step.action == done.action => continue,
            Some((_, step)) => difference(&done.action, &step.action),
        };
        return Err(ActionError::new(
            FaultKind::Config,
            "plan-drift",
            format!("the plan contradicts work that is done: step {}: {difference}", done.step),
            "take back what was changed in the config space since the run began, or start the run \
             over",
        ));
    }
    Ok(())
}

/// The first field that differs.
fn difference(done: &Action, planned: &Action) -> String {
    let value = |action| serde_json::to_value(action).expect("invariant: actions are plain data");
    let (done, planned) = (value(done), value(planned));
    first_difference("", &done, &planned).unwrap_or_else(|| "it differs".to_owned())
}

fn first_difference(path: &str, done: &Value, planned: &Value) -> Option<String> {
    match (done, planned) {
        (Value::Object(a), Value::Object(b)) => {
            a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))).find_map(|key| {
                let (a, b) = (a.get(key), b.get(key));
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                first_difference(&path, a.unwrap_or(&Value::Null), b.unwrap_or(&Value::Null))
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(i, (a, b))| first_difference(&format!("{path}[{i}]"), a, b))
        }
        (a, b) if a == b => None,
        (a, b) => Some(format!("{path} was {a}, is {b}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named_with_its_place() {
        let mount = |device: &str| Action::SwapOn { device: device.to_owned() };
        assert_eq!(
            difference(&mount("/dev/vda5"), &mount("/dev/vdb5")),
            r#"device was "/dev/vda5", is "/dev/vdb5""#
        );
        assert_eq!(
            difference(&Action::Finish, &Action::SaveLogs),
            r#"action was "finish", is "save-logs""#
        );
    }
}
