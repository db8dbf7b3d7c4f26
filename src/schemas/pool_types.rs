//! The types of work pools that can be set up before any worker of theirs is installed.
//!
//! A pool needs a template of its jobs before flows are deployed to it, since a client looks there
//! whether runs have an image. Types whose template is none here get it from their first worker.

use serde_json::{Map, Value, json};

use super::work_pools::{AGENT_TYPE, PROCESS_TYPE, process_template};

/// A type of work pool.
pub struct PoolType {
    /// The Python package that brings its worker.
    pub package: &'static str,
    /// Its name in `type`.
    pub name: &'static str,
    /// Its name for people.
    pub shown: &'static str,
    /// What becomes of a run.
    pub description: &'static str,
    template: fn() -> Value,
}

impl PoolType {
    /// Returns the template of a pool that is given none; empty where its worker brings one.
    pub fn template(&self) -> Value {
        (self.template)()
    }
}

/// The types, in the order in which they are offered.
pub const POOL_TYPES: [PoolType; 8] = [
    PoolType {
        package: "prefect",
        name: PROCESS_TYPE,
        shown: "Process",
        description: "Runs each flow run as a process beside its worker.",
        template: process_template,
    },
    PoolType {
        package: "prefect-docker",
        name: "docker",
        shown: "Docker",
        description: "Runs each flow run in a Docker container.",
        template: docker_template,
    },
    PoolType {
        package: "prefect-kubernetes",
        name: "kubernetes",
        shown: "Kubernetes",
        description: "Runs each flow run as a Kubernetes job.",
        template: kubernetes_template,
    },
    PoolType {
        package: "prefect-aws",
        name: "ecs",
        shown: "AWS Elastic Container Service",
        description: "Runs each flow run as a task of AWS ECS.",
        template: none,
    },
    PoolType {
        package: "prefect-azure",
        name: "azure-container-instance",
        shown: "Azure Container Instances",
        description: "Runs each flow run in an Azure container instance.",
        template: none,
    },
    PoolType {
        package: "prefect-gcp",
        name: "cloud-run",
        shown: "Google Cloud Run",
        description: "Runs each flow run as a job of Google Cloud Run.",
        template: none,
    },
    PoolType {
        package: "prefect-gcp",
        name: "cloud-run-v2",
        shown: "Google Cloud Run V2",
        description: "Runs each flow run as a job of Google Cloud Run, by its second API.",
        template: none,
    },
    PoolType {
        package: "prefect-gcp",
        name: "vertex-ai",
        shown: "Google Vertex AI",
        description: "Runs each flow run as a custom job of Google Vertex AI.",
        template: none,
    },
];

/// The type of pools that agents serve, which 2.20 clients know and later ones do not. Its jobs have no
/// template, since each deployment names a block that says how its runs are made.
pub const OF_AGENTS: PoolType = PoolType {
    package: "prefect",
    name: AGENT_TYPE,
    shown: "Prefect Agent",
    description: "Runs each flow run by an agent, as the infrastructure block of its deployment says.",
    template: none,
};

fn none() -> Value {
    json!({})
}

/// Makes a template in which each variable fills the member of its name.
fn template(variables: &[(&str, Value)]) -> Value {
    let placed =
        |(name, _): &(&str, Value)| ((*name).to_owned(), json!(format!("{{{{ {name} }}}}")));
    let configuration: Map<String, Value> = variables.iter().map(placed).collect();
    let described = |(name, schema): &(&str, Value)| ((*name).to_owned(), schema.clone());
    let properties: Map<String, Value> = variables.iter().map(described).collect();
    json!({
        "job_configuration": configuration,
        "variables": {"type": "object", "properties": properties},
    })
}

fn variable(title: &str, description: &str, kind: &str) -> Value {
    json!({"title": title, "description": description, "type": kind})
}

fn with(mut schema: Value, more: Value) -> Value {
    if let (Some(schema), Value::Object(more)) = (schema.as_object_mut(), more) {
        schema.extend(more);
    }
    schema
}

/// Puts members first in this order, in which people are asked for them.
fn put_first(members: &mut Value, names: &[&str]) {
    let Some(members) = members.as_object_mut() else {
        return;
    };
    let mut rest = std::mem::take(members);
    for name in names {
        if let Some(member) = rest.shift_remove(*name) {
            members.insert((*name).to_owned(), member);
        }
    }
    members.extend(rest);
}

/// A variable whose value is a block, described among the definitions.
fn block(title: &str, description: &str, definition: &str) -> Value {
    json!({
        "title": title,
        "description": description,
        "allOf": [{"$ref": format!("#/definitions/{definition}")}],
    })
}

/// What runs in containers have in common.
fn of_containers(what: &str) -> Vec<(&'static str, Value)> {
    let texts = json!({"additionalProperties": {"type": "string"}});
    let about = |text: &str| text.replace("{}", what);
    vec![
        (
            "name",
            variable("Name", &about("What the {} is called."), "string"),
        ),
        (
            "env",
            with(
                variable(
                    "Environment Variables",
                    &about("Variables that the {} gets."),
                    "object",
                ),
                texts.clone(),
            ),
        ),
        (
            "labels",
            with(
                variable("Labels", &about("Labels of the {}."), "object"),
                texts,
            ),
        ),
        (
            "command",
            variable(
                "Command",
                "What is run instead of the flow's own start.",
                "string",
            ),
        ),
        (
            "image",
            variable(
                "Image",
                "The image that is run; one with the worker's version of Prefect by default.",
                "string",
            ),
        ),
        (
            "stream_output",
            with(
                variable(
                    "Stream Output",
                    &about("Whether the worker prints what the {} prints."),
                    "boolean",
                ),
                json!({"default": true}),
            ),
        ),
    ]
}

fn docker_template() -> Value {
    let texts = json!({"items": {"type": "string"}});
    let mut variables = of_containers("container");
    variables.extend([
        (
            "registry_credentials",
            block(
                "Registry Credentials",
                "What logs in to the image's registry: a block of the type `docker-registry-credentials`.",
                "DockerRegistryCredentials",
            ),
        ),
        (
            "image_pull_policy",
            with(
                variable("Image Pull Policy", "When the image is pulled.", "string"),
                json!({"enum": ["IfNotPresent", "Always", "IfPossible", "Never"]}),
            ),
        ),
        (
            "networks",
            with(
                variable("Networks", "Networks that the container joins.", "array"),
                texts.clone(),
            ),
        ),
        (
            "network_mode",
            variable(
                "Network Mode",
                "The container's network mode, such as `host`; not beside networks.",
                "string",
            ),
        ),
        (
            "auto_remove",
            with(
                variable(
                    "Auto Remove",
                    "Whether the container is removed once it has ended.",
                    "boolean",
                ),
                json!({"default": false}),
            ),
        ),
        (
            "volumes",
            with(
                variable(
                    "Volumes",
                    "What is mounted, as `/path/here:/path/in/container`.",
                    "array",
                ),
                texts,
            ),
        ),
        (
            "container_wait_timeout",
            with(
                variable(
                    "Container Wait Timeout",
                    "Seconds to wait for the end of the container; without limit by default.",
                    "integer",
                ),
                json!({"exclusiveMinimum": 0}),
            ),
        ),
        (
            "mem_limit",
            variable(
                "Memory Limit",
                "The container's memory, such as `512m`; a bare number is bytes.",
                "string",
            ),
        ),
        (
            "memswap_limit",
            variable(
                "Memory Swap Limit",
                "Memory and swap together, or -1 for swap without limit; only beside a memory limit.",
                "string",
            ),
        ),
        (
            "privileged",
            with(
                variable(
                    "Privileged",
                    "Whether the container may do what its host may.",
                    "boolean",
                ),
                json!({"default": false}),
            ),
        ),
    ]);
    let mut made = template(&variables);
    let order = [
        "command",
        "env",
        "labels",
        "name",
        "image",
        "registry_credentials",
        "image_pull_policy",
        "networks",
        "network_mode",
        "auto_remove",
        "volumes",
        "stream_output",
    ];
    put_first(&mut made["job_configuration"], &order);
    put_first(&mut made["variables"]["properties"], &order);
    let password = variable("Password", "The password of the user.", "string");
    made["variables"]["definitions"] = json!({"DockerRegistryCredentials": {
        "title": "DockerRegistryCredentials",
        "description": "What logs in to a registry of images.",
        "type": "object",
        "properties": {
            "username": variable("Username", "Who logs in.", "string"),
            "password": with(password, json!({"writeOnly": true, "format": "password"})),
            "registry_url": variable("Registry Url", "Where the registry is.", "string"),
            "reauth": with(
                variable("Reauth", "Whether to log in again each time.", "boolean"),
                json!({"default": true}),
            ),
        },
        "required": ["username", "password", "registry_url"],
        "block_type_slug": "docker-registry-credentials",
        "secret_fields": ["password"],
        "block_schema_references": {},
    }});
    made
}

fn kubernetes_template() -> Value {
    let mut variables = of_containers("job");
    let of_job = [
        (
            "namespace",
            with(
                variable("Namespace", "The namespace of the job.", "string"),
                json!({"default": "default"}),
            ),
        ),
        (
            "job_watch_timeout_seconds",
            variable(
                "Job Watch Timeout Seconds",
                "Seconds to wait for the end of the job; without limit by default.",
                "integer",
            ),
        ),
        (
            "pod_watch_timeout_seconds",
            with(
                variable(
                    "Pod Watch Timeout Seconds",
                    "Seconds to wait for the start of the job's pod.",
                    "integer",
                ),
                json!({"default": 60}),
            ),
        ),
        (
            "cluster_config",
            block(
                "Cluster Config",
                "Which cluster: a block of the type `kubernetes-cluster-config`; by default the worker's own.",
                "KubernetesClusterConfig",
            ),
        ),
    ];
    variables.extend(of_job);
    let mut made = template(&variables);
    let of_manifest = [
        (
            "service_account_name",
            variable(
                "Service Account Name",
                "Whose rights the job has.",
                "string",
            ),
        ),
        (
            "image_pull_policy",
            with(
                variable("Image Pull Policy", "When the image is pulled.", "string"),
                json!({"enum": ["IfNotPresent", "Always", "Never"], "default": "IfNotPresent"}),
            ),
        ),
        (
            "finished_job_ttl",
            variable(
                "Finished Job TTL",
                "Seconds for which a job that has ended is kept; for ever by default.",
                "integer",
            ),
        ),
        (
            "cpu_request",
            variable("CPU Request", "The CPU that the job needs.", "string"),
        ),
        (
            "cpu_limit",
            variable("CPU Limit", "The CPU that the job gets at most.", "string"),
        ),
        (
            "memory_request",
            variable("Memory Request", "The memory that the job needs.", "string"),
        ),
        (
            "memory_limit",
            variable(
                "Memory Limit",
                "The memory that the job gets at most.",
                "string",
            ),
        ),
    ];
    for (name, schema) in of_manifest {
        made["variables"]["properties"][name] = schema;
    }
    // What the manifest says has no member of its own.
    if let Some(configuration) = made["job_configuration"].as_object_mut() {
        configuration.shift_remove("image");
        configuration.insert("job_manifest".to_owned(), job_manifest());
    }
    put_first(
        &mut made["job_configuration"],
        &[
            "command",
            "env",
            "labels",
            "name",
            "namespace",
            "job_manifest",
            "cluster_config",
            "job_watch_timeout_seconds",
            "pod_watch_timeout_seconds",
            "stream_output",
        ],
    );
    put_first(
        &mut made["variables"]["properties"],
        &[
            "name",
            "env",
            "labels",
            "command",
            "namespace",
            "image",
            "service_account_name",
            "image_pull_policy",
            "finished_job_ttl",
            "job_watch_timeout_seconds",
            "pod_watch_timeout_seconds",
            "stream_output",
            "cluster_config",
        ],
    );
    made["variables"]["definitions"] = json!({"KubernetesClusterConfig": {
        "title": "KubernetesClusterConfig",
        "description": "How a Kubernetes cluster is reached.",
        "type": "object",
        "properties": {
            "config": variable("Config", "What the configuration file of kubectl holds.", "object"),
            "context_name": variable("Context Name", "The context of it that is used.", "string"),
        },
        "required": ["config", "context_name"],
        "block_type_slug": "kubernetes-cluster-config",
        "secret_fields": [],
        "block_schema_references": {},
    }});
    made
}

fn job_manifest() -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "labels": "{{ labels }}",
            "namespace": "{{ namespace }}",
            "generateName": "{{ name }}-",
        },
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": "{{ finished_job_ttl }}",
            "template": {"spec": {
                "parallelism": 1,
                "completions": 1,
                "restartPolicy": "Never",
                "serviceAccountName": "{{ service_account_name }}",
                "containers": [{
                    "name": "prefect-job",
                    "env": "{{ env }}",
                    "image": "{{ image }}",
                    "imagePullPolicy": "{{ image_pull_policy }}",
                    "args": "{{ command }}",
                    "resources": {
                        "limits": {"cpu": "{{ cpu_limit }}", "memory": "{{ memory_limit }}"},
                        "requests": {"cpu": "{{ cpu_request }}", "memory": "{{ memory_request }}"},
                    },
                }],
            }},
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Collects the names in double braces of a document.
    fn placeholders(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::String(text) => found.extend(
                text.split("{{ ")
                    .skip(1)
                    .filter_map(|rest| rest.split_once(" }}"))
                    .map(|(name, _)| name.to_owned()),
            ),
            Value::Array(elements) => elements.iter().for_each(|one| placeholders(one, found)),
            Value::Object(members) => members.values().for_each(|one| placeholders(one, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    #[test]
    fn each_variable_of_a_template_fills_something_and_nothing_else_is_asked_for() {
        for kind in POOL_TYPES {
            let template = kind.template();
            let mut used = BTreeSet::new();
            placeholders(&template["job_configuration"], &mut used);
            let variables = template["variables"]["properties"].as_object();
            let known: BTreeSet<String> = variables
                .into_iter()
                .flatten()
                .map(|(name, _)| name.clone())
                .collect();
            assert_eq!(used, known, "{}", kind.name);
        }
    }
}
