//! Renders what people write into actions: Jinja templates over the event and what it is about.
//!
//! A template has a budget of steps, so that none can keep the server busy.

mod filters;
mod instants;
mod json;
mod methods;
mod objects;

use minijinja::{Environment, UndefinedBehavior, Value};
use serde_json::{Map, Value as Json, json};

use crate::schemas::automations::TriggeredAction;

/// Steps of one template; a page of text takes a few hundred.
const FUEL: u64 = 100_000;

/// What a rendered text may be long at most.
const MAX_BYTES: usize = 1_000_000;

/// Renders a template; the error says what is wrong with it.
pub fn render(template: &str, context: &Json, ui_url: &str) -> Result<String, String> {
    let environment = environment(ui_url);
    let rendered = environment.render_str(template, objects::seen(context));
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
    environment.set_unknown_method_callback(methods::call);
    filters::add(&mut environment);
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
        .map(to_json)
        .collect();
    let members = json!({
        "automation": automation,
        "event": action.triggering_event.as_ref().map(to_json),
        "labels": &action.firing.triggering_labels,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_sees_labels_by_their_parts_and_links_to_what_it_is_about() {
        let context = json!({
            "labels": {"prefect.resource.id": "prefect.flow-run.7"},
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

    /// Renders each template over an event and a run, one a line.
    fn picture(templates: &[&str]) -> String {
        let resource = |id: &str, role: &str, name: &str| json!({"prefect.resource.id": id, "prefect.resource.role": role, "prefect.resource.name": name});
        let event = json!({
            "occurred": "2026-12-01T04:30:22.122121Z",
            "event": "tp.be0f8",
            "resource": {"prefect.resource.id": "r", "k": "v", "a.b": "1", "a.b.c": "2"},
            "related": [resource("fl.1", "flow", "FN"), resource("tag.1", "tag", "x"), resource("tag.2", "tag", "y")],
            "payload": {"f": 1.5, "t": true, "nn": null, "s": "aé\"<'", "l": [1, "b"], "d": {"y": 1, "x": {}}, "e": []},
            "id": "1", "follows": null, "received": "2026-12-01T04:30:22Z",
        });
        let context = json!({
            "event": event,
            "labels": {"prefect.resource.id": "r", "plain": "p"},
            "firing": {"triggering_event": event, "triggering_labels": {}},
            "flow_run": {"total_run_time": 0.716528, "estimated_run_time": 90061.0, "start_time": "2026-12-01T04:30:22Z"},
            "automation": {"trigger": {"within": 0.0}},
        });
        let rendered = templates.iter().map(|template| {
            render(template, &context, "").unwrap_or_else(|error| format!("ERROR {error}"))
        });
        rendered.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn events_know_their_resources_by_their_roles() {
        insta::assert_snapshot!(
            picture(&[
                "{{ event.resource_in_role['flow'].id }} {{ event.resource_in_role.flow.name }} {{ event.resource_in_role.tag.id }} {{ event.resource_in_role['zip'] }}",
                "{{ event.resources_in_role['tag'][1].id }} {{ event.resources_in_role.flow|length }} {{ event.involved_resources|map(attribute='id')|join(',') }}",
                "{{ event.resource.id }} {{ event.resource.name }} {{ event.resource.get('k') }} {{ event.resource['k'] }} {{ event.resource.k }} {{ event.related[0].role }}",
                "{{ event.resource }} {{ event.resource.labels.a.b }} {{ event.resource.labels.a.b.c }} {{ event.resource.labels['a.b.c'] }} [{{ event.resource.labels }}]",
                "{{ labels.prefect.resource.id }} {{ labels['prefect.resource.id'] }} {{ labels.plain }} {{ labels|length }}{% for k, v in labels %} {{ k }}={{ v }}{% endfor %}",
                "{{ firing.trigger_states }} {{ 'Triggered' in firing.trigger_states }} {{ firing.triggering_event.resource_in_role.flow.name }}",
                "{% for r in event.related if r.role == 'tag' %}{{ r.name }}{% endfor %} {{ event.related|length }} {{ event.resource.items()|list|length }}",
            ]),
            @r#"
        fl.1 FN tag.1 
        tag.2 1 r,fl.1,tag.1,tag.2
        r None v v v flow
        {'prefect.resource.id': 'r', 'k': 'v', 'a.b': '1', 'a.b.c': '2'} 1 2 2 []
        r r p 2 prefect.resource.id=r plain=p
        {TriggerState.Triggered} True FN
        xy 3 4
        "#
        );
    }

    #[test]
    fn spans_of_time_are_written_as_python_writes_them() {
        insta::assert_snapshot!(
            picture(&[
                "{{ flow_run.total_run_time }} {{ flow_run.total_run_time.total_seconds() }} {{ flow_run.total_run_time.microseconds }}",
                "{{ flow_run.estimated_run_time }} {{ flow_run.estimated_run_time.days }} {{ flow_run.total_run_time < flow_run.estimated_run_time }}",
                "{{ automation.trigger.within }} {{ 'some' if automation.trigger.within else 'none' }}",
                "{{ flow_run|tojson }} {{ flow_run.start_time|tojson }}",
            ]),
            @r#"
        0:00:00.716528 0.716528 716528
        1 day, 1:01:01 1 True
        0:00:00 none
        {"estimated_run_time": 90061.0, "start_time": "2026-12-01T04:30:22Z", "total_run_time": 0.716528} "2026-12-01 04:30:22+00:00"
        "#
        );
    }

    #[test]
    fn json_has_sorted_keys_and_ascii_only() {
        insta::assert_snapshot!(
            picture(&["{{ event.payload|tojson }}", "{{ event.payload|tojson(indent=1) }}", "{{ event.resource|tojson }} {{ [{'a': none}, (1, 2.0), '😀']|tojson }}"]),
            @r#"
        {"d": {"x": {}, "y": 1}, "e": [], "f": 1.5, "l": [1, "b"], "nn": null, "s": "a\u00e9\"\u003c\u0027", "t": true}
        {
         "d": {
          "x": {},
          "y": 1
         },
         "e": [],
         "f": 1.5,
         "l": [
          1,
          "b"
         ],
         "nn": null,
         "s": "a\u00e9\"\u003c\u0027",
         "t": true
        }
        {"a.b": "1", "a.b.c": "2", "k": "v", "prefect.resource.id": "r"} [{"a": null}, [1, 2.0], "\ud83d\ude00"]
        "#
        );
    }

    #[test]
    fn templates_have_the_filters_and_methods_of_jinja_and_python() {
        insta::assert_snapshot!(
            picture(&[
                "{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }} {{ m(1, b=3) }} {% block x %}block{% endblock %}",
                "{% macro w() %}<{{ caller() }}>{% endmacro %}{% call w() %}called{% endcall %}",
                "{{ 'x'|center(5) }}|{{ 'ab'.center(5, '*') }}|{{ 'a'.zfill(3) }} {{ '-1'.zfill(4) }} {{ 'a'.ljust(3) }}|{{ 'a'.rjust(3) }}",
                "{{ 'abcdefghijk'|truncate(5) }} {{ 'foo bar baz'|truncate(9, leeway=0) }} {{ 'foo bar baz'|truncate(9, true, '>', 0) }} {{ 'short'|truncate }}",
                "{{ 'a b, c_d'|wordcount }} {{ 'aa bb cc'|wordwrap(5, wrapstring='/') }} {{ 'abcdefg'|wordwrap(3, wrapstring='/') }} {{ 'well-known fact'|wordwrap(6, wrapstring='/') }}",
                "{{ '<b>x</b> y'|striptags }} {{ 1000000|filesizeformat }} {{ 1|filesizeformat }} {{ 7|filesizeformat }} {{ '2048'|filesizeformat(true) }} {{ 1234|filesizeformat(binary=true) }}",
                "{{ 'a'|int }} {{ 'a'|int(3) }} {{ '5'|int + 1 }} {{ '3.9'|int }} {{ none|int }} {{ '11'|int(base=2) }} {{ 'a'|float }} {{ '1.5'|float }} {{ 'x'|float(default=2) }}",
                "{{ 'aBc'.swapcase() }} {{ 'Straße'.casefold() }} {{ 'a\tb'.expandtabs(4) }} {{ 'abc'.index('c') }} {{ 'abca'.rindex('a') }} {{ [1, 2].index(2) }}",
                "{{ 'a.b.c'.partition('.') }} {{ 'a.b.c'.rpartition('.') }} {{ 'a.b.c'.rsplit('.', 1) }} {{ ' a  b c'.rsplit() }} {{ 'a b c'.rsplit(maxsplit=1) }}",
                "{{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }} {{ ['a', 'b']|random in ['a', 'b'] }}",
                "{{ 'see http://a.b/ and http://a.bc/c?d&e, or www.x.org'|urlize }} {{ 'me@x.org'|urlize }}",
                "<a{{ {'href': '/\"x', 'no': none, 'b': 1}|xmlattr }}> {{ \"<'\\\"&\"|e }} {{ '<b>'|e|e }} {{ '<b>'|e|forceescape }}",
                "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }} {% set j = joiner('|') %}{{ j() }}x{{ j() }}y",
                "{{ 'see http://ui/runs/flow-run/0189f5b4-7d2f-7c1e-8f39-f1c1a2b3c4d5'|flow_run_id }} {{ 'none'|flow_run_id }}",
            ]),
            @r#"
        1-2 1-3 block
        <called>
          x  |**ab*|00a -001 a  |  a
        ab... foo... foo bar > short
        3 aa bb/cc abc/def/g well-/known/fact
        x y 1.0 MB 1 Byte 7 Bytes 2.0 KiB 1.2 KiB
        0 3 6 3 0 3 0.0 1.5 2
        AbC strasse a   b 2 3 1
        ('a', '.', 'b.c') ('a.b', '.', 'c') ['a.b', 'c'] ['a', 'b', 'c'] ['a b', 'c']
        bc ab True
        see http://a.b/ and <a href="http://a.bc/c?d&amp;e" rel="noopener">http://a.bc/c?d&amp;e</a>, or <a href="https://www.x.org" rel="noopener">www.x.org</a> <a href="mailto:me@x.org">me@x.org</a>
        <a href="/&#34;x" b="1"> &lt;&#39;&#34;&amp; &lt;b&gt; &amp;lt;b&amp;gt;
        aba x|y
        0189f5b4-7d2f-7c1e-8f39-f1c1a2b3c4d5 None
        "#
        );
        for wrong in [
            "{{ 'abc'.index('x') }}",
            "{{ 'abc'.rsplit('') }}",
            "{{ 'a'|center(99999999) }}",
            "{% include 'x' %}",
        ] {
            assert!(render(wrong, &json!({}), "").is_err(), "{wrong}");
        }
    }
}
