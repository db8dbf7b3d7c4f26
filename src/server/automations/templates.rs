//! Renders what people write into actions: Jinja templates over the event and what it is about.
//!
//! A template has a budget of steps, so that none can keep the server busy.

mod instants;

use minijinja::{Environment, UndefinedBehavior, Value};
use minijinja_contrib::pycompat;
use serde_json::{Map, Value as Json, json};

use crate::schemas::automations::TriggeredAction;
use crate::schemas::events::{ReceivedEvent, Resource};

/// Steps of one template; a page of text takes a few hundred.
const FUEL: u64 = 100_000;

/// What a rendered text may be long at most.
const MAX_BYTES: usize = 1_000_000;

/// Renders a template; the error says what is wrong with it.
pub fn render(template: &str, context: &Json, ui_url: &str) -> Result<String, String> {
    let environment = environment(ui_url);
    let rendered = environment.render_str(template, instants::seen(context));
    let text = rendered.map_err(|error| format!("{error}"))?;
    if text.len() > MAX_BYTES {
        return Err(format!(
            "the rendered text is longer than {MAX_BYTES} bytes"
        ));
    }
    Ok(text)
}

/// Checks that a text is a template.
pub fn check(template: &str) -> Result<(), Fault> {
    let environment = environment("");
    environment
        .template_from_str(template)
        .map(|_| ())
        .map_err(|error| Fault {
            line: error.line().unwrap_or(1),
            text: format!("{error}"),
        })
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1 on.
    pub line: usize,
    /// What.
    pub text: String,
}

/// Tells whether a text has anything to render.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

fn environment(ui_url: &str) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_fuel(Some(FUEL));
    // Texts, lists and maps can do what they can in Python, where genuine servers render templates.
    environment.set_unknown_method_callback(pycompat::unknown_method_callback);
    let base = ui_url.trim_end_matches('/').to_owned();
    let events = base.clone();
    environment.add_filter("ui_url", move |object: Value| ui_link(&base, &object));
    environment.add_filter("ui_resource_events_url", move |object: Value| {
        resource_id(&object).map(|id| format!("{events}/events?resource={id}"))
    });
    environment
}

/// Returns the id as events write it, of a resource or of an object of the API.
fn resource_id(object: &Value) -> Option<String> {
    let text = |name: &str| object.get_attr(name).ok()?.as_str().map(str::to_owned);
    if let Some(id) = object
        .get_item(&Value::from("prefect.resource.id"))
        .ok()
        .and_then(|id| id.as_str().map(str::to_owned))
    {
        return Some(id);
    }
    Some(format!("{}.{}", text("__kind")?, text("id")?))
}

fn ui_link(base: &str, object: &Value) -> Option<String> {
    let id = resource_id(object)?;
    let (kind, id) = id.rsplit_once('.')?;
    let path = match kind {
        "prefect.flow-run" => "runs/flow-run",
        "prefect.task-run" => "runs/task-run",
        "prefect.flow" => "flows/flow",
        "prefect.deployment" => "deployments/deployment",
        "prefect.work-pool" => "work-pools/work-pool",
        "prefect.work-queue" => "work-queues/work-queue",
        "prefect.automation" => "automations/automation",
        _ => return None,
    };
    Some(format!("{base}/{path}/{id}"))
}

/// Returns what every template knows: the automation, the event, the firing and what led to it.
pub fn context(action: &TriggeredAction) -> Map<String, Json> {
    let mut automation = to_json(&action.automation);
    automation["__kind"] = "prefect.automation".into();
    let firings = action.firing.all();
    let events: Vec<Json> = firings
        .iter()
        .filter_map(|firing| firing.triggering_event.as_ref())
        .map(event)
        .collect();
    let members = json!({
        "automation": automation,
        "event": action.triggering_event.as_ref().map(event),
        "labels": nested(&action.firing.triggering_labels),
        "firing": to_json(&action.firing),
        "firings": firings.iter().map(to_json).collect::<Vec<_>>(),
        "events": events,
    });
    match members {
        Json::Object(members) => members,
        _ => Map::new(),
    }
}

fn to_json(value: &impl serde::Serialize) -> Json {
    serde_json::to_value(value).unwrap_or_default()
}

/// An event whose resources have an `id`, a `name` and a `role` beside their labels.
fn event(received: &ReceivedEvent) -> Json {
    let resource = |resource: &Resource| {
        let mut object = to_json(resource);
        object["id"] = resource.id().into();
        object["name"] = resource.get(crate::schemas::events::RESOURCE_NAME).into();
        object["role"] = resource.role().into();
        object
    };
    let mut object = to_json(received);
    object["resource"] = resource(&received.event.resource);
    object["related"] = received.event.related.iter().map(resource).collect();
    object
}

/// Makes `{{ labels.prefect.resource.id }}` of `prefect.resource.id`.
fn nested(labels: &Map<String, Json>) -> Json {
    let mut root = json!({});
    for (label, value) in labels {
        let mut at = &mut root;
        for part in label.split(['.', ':']) {
            if !at.is_object() {
                *at = json!({});
            }
            at = &mut at[part];
        }
        *at = value.clone();
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_sees_labels_by_their_parts_and_links_to_what_it_is_about() {
        let labels = json!({"prefect.resource.id": "prefect.flow-run.7"});
        let context = json!({
            "labels": nested(labels.as_object().unwrap()),
            "flow_run": {"id": "7", "name": "brave", "__kind": "prefect.flow-run"},
            "event": {"resource": {"prefect.resource.id": "prefect.flow.9"}},
        });
        let rendered = |template: &str| render(template, &context, "http://here/");
        assert_eq!(
            rendered("{{ labels.prefect.resource.id }}").unwrap(),
            "prefect.flow-run.7"
        );
        assert_eq!(
            rendered("{{ flow_run.name }} {{ flow_run|ui_url }}").unwrap(),
            "brave http://here/runs/flow-run/7"
        );
        let link = "http://here/events?resource=prefect.flow.9";
        assert_eq!(
            rendered("{{ event.resource|ui_resource_events_url }}").unwrap(),
            link
        );
        assert_eq!(rendered("{{ nothing.at.all }}!").unwrap(), "!");
    }

    #[test]
    fn a_template_that_never_ends_is_ended() {
        let endless =
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(render(endless, &json!({}), "").is_err());
        assert!(check("{{ open").is_err() && check("{{ fine }}").is_ok());
    }

    #[test]
    fn values_can_do_in_templates_what_they_can_in_python() {
        let context = json!({
            "event": {
                "occurred": "2026-11-30T07:34:39.638572Z",
                "received": "2026-11-30T12:00:00+00:00",
                "payload": {"occurred": "2026-11-30T12:00:00Z", "n": 1, "a": [2, 3]},
            },
            "flow_run": {
                "start_time": "2026-11-30T12:00:00Z",
                "end_time": null,
                "created": "not an instant",
                "parameters": {"timestamp": "2026-11-30T12:00:00Z"},
                "state": {"timestamp": "2026-11-29T12:00:00Z"},
            },
            "name": "brave otter",
        });
        for (template, expected) in [
            ("{{ event.occurred }}", "2026-11-30 07:34:39.638572+00:00"),
            ("{{ event.received }}", "2026-11-30 12:00:00+00:00"),
            (
                "{{ event.occurred.isoformat() }}",
                "2026-11-30T07:34:39.638572+00:00",
            ),
            ("{{ event.occurred.strftime('%Y, %H:%M') }}", "2026, 07:34"),
            (
                "{{ event.occurred.date() }} {{ event.received.timestamp() }}",
                "2026-11-30 1796040000.0",
            ),
            (
                "{{ name.upper() }} {{ name.split()[0] }}",
                "BRAVE OTTER brave",
            ),
            ("{{ flow_run.start_time.strftime('%H:%M') }}", "12:00"),
            ("{{ flow_run.start_time }}", "2026-11-30 12:00:00+00:00"),
            (
                "{{ flow_run.start_time.year }} {{ flow_run.start_time.month + 1 }}",
                "2026 12",
            ),
            (
                "{{ flow_run.state.timestamp < flow_run.start_time }}",
                "True",
            ),
            ("{{ flow_run.state.timestamp.weekday() }}", "6"),
            (
                "{{ flow_run.start_time|tojson }}",
                "\"2026-11-30 12:00:00+00:00\"",
            ),
            ("{{ flow_run.end_time }}", "None"),
            ("{{ flow_run.created }}", "not an instant"),
            (
                "{{ flow_run.parameters.timestamp }}",
                "2026-11-30T12:00:00Z",
            ),
            ("{{ event.payload.occurred }}", "2026-11-30T12:00:00Z"),
            (
                "{{ event.payload.get('n') }} {{ event.payload.get('x', 'none') }}",
                "1 none",
            ),
            (
                "{% for key, value in event.payload.items() %}{{ key }}{% endfor %}",
                "occurredna",
            ),
        ] {
            let rendered = render(template, &context, "");
            assert_eq!(
                rendered.unwrap().to_lowercase(),
                expected.to_lowercase(),
                "{template}"
            );
        }
        assert!(render("{{ event.occurred.strftime('%Q') }}", &context, "").is_err());
        assert!(render("{{ name.nothing() }}", &context, "").is_err());
    }
}
