//! What people wrote into an action, rendered over the event and the objects that it is about.

use serde_json::{Map, Value as Json, json};

use super::account::Account;
use super::own_api::text;
use super::{Actor, involved};
use crate::schemas::automations::TriggeredAction;
use crate::server::automations::templates;
use crate::server::parameters::KIND;

/// What a template may name, with the kind of the object and where it is read.
const OBJECTS: [(&str, &str, &str); 7] = [
    ("flow_run", "flow-run", "flow_runs"),
    ("flow", "flow", "flows"),
    ("task_run", "task-run", "task_runs"),
    ("deployment", "deployment", "deployments"),
    ("work_pool", "work-pool", "work_pools"),
    ("work_queue", "work-queue", "work_queues"),
    (
        "concurrency_limit",
        "concurrency-limit",
        "v2/concurrency_limits",
    ),
];

impl Actor {
    /// Renders templates inside parameters, also those that name their kind; a plain text that is
    /// one expression keeps the value's type.
    pub(super) async fn parameters(
        &self,
        action: &TriggeredAction,
        parameters: Option<&Map<String, Json>>,
    ) -> Result<Json, String> {
        let mut parameters = Json::Object(parameters.cloned().unwrap_or_default());
        let (mut texts, mut templates) = (Vec::new(), Vec::new());
        collect(&mut parameters, &mut texts, &mut templates);
        for value in templates {
            // What is wrong with one without a text is told where the run is made.
            if let Some(template) = value["template"].as_str() {
                *value = Json::String(self.rendered(action, template).await?);
            }
        }
        for text in texts {
            let Json::String(template) = &*text else {
                continue;
            };
            let inner = template
                .trim()
                .strip_prefix("{{")
                .and_then(|rest| rest.strip_suffix("}}"))
                .filter(|inner| !inner.contains("{{"));
            *text = match inner {
                Some(inner) => {
                    let whole = format!("{{{{ ({inner}) | tojson }}}}");
                    let rendered = self.rendered(action, &whole).await?;
                    serde_json::from_str(&rendered).unwrap_or(Json::Null)
                }
                None => Json::String(self.rendered(action, template).await?),
            };
        }
        Ok(parameters)
    }

    /// Renders a text. Only what it names is read, and a failure is noted with the text.
    pub(super) async fn render(
        &self,
        action: &TriggeredAction,
        account: &mut Account,
        template: &str,
    ) -> Result<String, String> {
        let rendered = self.rendered(action, template).await;
        rendered.map_err(|cause| {
            let error = format!("Failed to render template due to the following error: {cause}");
            account.note("template_error", error);
            account.note("template_source", template);
            format!("Template rendering failed: {cause}")
        })
    }

    async fn rendered(&self, action: &TriggeredAction, template: &str) -> Result<String, String> {
        if !templates::is_template(template) {
            return Ok(template.to_owned());
        }
        let context = Json::Object(self.context(action, template).await);
        templates::render(template, &context, &self.app.ui_url())
    }

    /// Returns what a template can name; an object that cannot be read is none.
    async fn context(&self, action: &TriggeredAction, template: &str) -> Map<String, Json> {
        // None of these reads is part of the action's own account.
        let account = &mut Account::of(&action.action.kind());
        let mut context = templates::context(action);
        if action.triggering_event.is_none() {
            return context;
        }
        for (word, kind, noun) in OBJECTS {
            if !template.contains(word) {
                continue;
            }
            let mut object = match involved(action, kind) {
                Some(id) if kind == "work-pool" => self.api.work_pool(account, id).await,
                Some(id) => self.read(account, &format!("/{noun}/{id}")).await,
                None => Ok(Json::Null),
            }
            .unwrap_or_default();
            if object.is_object() {
                object["__kind"] = format!("prefect.{kind}").into();
                as_it_was(&mut object, action);
            }
            context.insert(word.to_owned(), object);
        }
        if template.contains("variables") {
            let found = self
                .api
                .request(account, "POST", "/variables/filter", &json!({}))
                .await
                .unwrap_or_default();
            let variables = found
                .as_array()
                .into_iter()
                .flatten()
                .map(|one| (text(one, "name"), one["value"].clone()));
            context.insert("variables".to_owned(), Json::Object(variables.collect()));
        }
        context
    }
}

/// Collects the plain texts that are templates, and the values whose kind is that.
fn collect<'a>(
    value: &'a mut Json,
    texts: &mut Vec<&'a mut Json>,
    templates: &mut Vec<&'a mut Json>,
) {
    let kind = value.get(KIND).and_then(Json::as_str);
    if kind == Some("jinja") {
        templates.push(value);
        return;
    }
    let is_plain = kind.is_none();
    match value {
        Json::String(text) if templates::is_template(text) => texts.push(value),
        Json::Array(items) => items
            .iter_mut()
            .for_each(|item| collect(item, texts, templates)),
        Json::Object(members) => {
            // What other kinds are worth is found where the run is made. Texts in them are no
            // templates, but what they hold may be one by its kind.
            let mut no_templates = Vec::new();
            let texts = if is_plain { texts } else { &mut no_templates };
            for item in members.values_mut() {
                if is_plain || !item.is_string() {
                    collect(item, texts, templates);
                }
            }
        }
        _ => {}
    }
}

/// A run may have gone on since; the template is about the state that the event tells of.
fn as_it_was(run: &mut Json, action: &TriggeredAction) {
    let Some(event) = &action.triggering_event else {
        return;
    };
    let resource = &event.event.resource;
    if !resource.id().ends_with(&text(run, "id")) || !run["state"].is_object() {
        return;
    }
    let parts = ["type", "name", "message", "timestamp"];
    let state = parts.map(|part| resource.get(&format!("prefect.state-{part}")));
    if state.iter().all(Option::is_some) {
        for (part, value) in parts.into_iter().zip(state) {
            run["state"][part] = value.into();
        }
    }
}
