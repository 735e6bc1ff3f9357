//! What kiops.toml states of organizations: from the configuration's types to declarations, and into the database.

use entity::{Role, ServiceExposure};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::change::Change;
use crate::app::declared::{
    self, DockerInput, Git, KubernetesInput, Organization, RegisterRuntime, SaveRegistry, User,
};
use crate::app::{App, Code};
use crate::config::Config;
use crate::config::organizations::{
    DeclaredDocker, DeclaredExposure, DeclaredGit, DeclaredKubernetes, DeclaredOrganization, DeclaredProvider,
    DeclaredRegistry, DeclaredRole, DeclaredRuntime, DeclaredUser,
};
use crate::domain::git::Provider;
use crate::domain::secret::{ExposeSecret as _, SecretString};

/// Brings the database in line with what is stated.
///
/// # Errors
/// [`crate::config::ConfigFaults`] with all that the declarations and the database have against each other; anything else when
/// the database does not answer.
pub(super) async fn apply(config: &Config, app: &App) -> anyhow::Result<()> {
    match declared::apply(app, &declarations(config)).await {
        Ok(_) => Ok(()),
        Err(error) if error.code == Code::BadUserInput => {
            let faults = error.violations.into_iter().map(|fault| (fault.field, fault.message)).collect();
            Err(config.places.faults(faults).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Tries in the background what was stored without asking, and ends with the server.
pub(super) fn look(config: &Config, app: &App, tasks: &TaskTracker, stop: &CancellationToken) {
    let (app, stop, every) = (app.clone(), stop.clone(), config.runtimes.check_every);
    tasks.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = declared::look(&app, every) => {}
        }
    });
}

/// The configuration's organizations as declarations, each at its place.
pub(super) fn declarations(config: &Config) -> Vec<Organization> {
    config.organizations.iter().map(organization).collect()
}

fn organization(organization: &DeclaredOrganization) -> Organization {
    Organization {
        slug: organization.slug.clone(),
        name: organization.name.clone(),
        users: organization.users.iter().map(user).collect(),
        runtimes: organization.runtimes.iter().map(runtime).collect(),
        registries: organization.registries.iter().map(registry).collect(),
        git: organization.git.iter().map(git).collect(),
    }
}

fn user(user: &DeclaredUser) -> User {
    User {
        email: user.email.clone(),
        name: user.name.clone(),
        role: match user.role {
            DeclaredRole::Admin => Role::Admin,
            DeclaredRole::Member => Role::Member,
        },
        password: user.password.clone(),
    }
}

fn runtime(runtime: &DeclaredRuntime) -> RegisterRuntime {
    let cluster = runtime.kubernetes.as_ref();
    RegisterRuntime {
        name: runtime.name.clone(),
        docker: runtime.docker.as_ref().map(docker),
        kubernetes: cluster.map(kubernetes),
        ingress_class: cluster.and_then(|cluster| cluster.ingress_class.clone()),
        storage_class: cluster.and_then(|cluster| cluster.storage_class.clone()),
        exposure: cluster.and_then(|cluster| cluster.exposure).map(|exposure| match exposure {
            DeclaredExposure::NodePort => ServiceExposure::NodePort,
            DeclaredExposure::LoadBalancer => ServiceExposure::LoadBalancer,
        }),
    }
}

fn docker(docker: &DeclaredDocker) -> DockerInput {
    let text = |pem: &Option<SecretString>| pem.as_ref().map(|pem| pem.expose_secret().to_owned());
    DockerInput {
        host: Change::Set(docker.host.clone()),
        tls_ca: set(text(&docker.tls.ca)),
        tls_cert: set(text(&docker.tls.cert)),
        tls_key: set(docker.tls.key.clone()),
    }
}

fn kubernetes(cluster: &DeclaredKubernetes) -> KubernetesInput {
    KubernetesInput { kubeconfig: cluster.kubeconfig.clone(), context: cluster.context.clone(), in_cluster: false }
}

fn registry(registry: &DeclaredRegistry) -> SaveRegistry {
    SaveRegistry {
        host: registry.host.clone(),
        username: registry.username.clone(),
        token: registry.token.clone().unwrap_or_default(),
        repository_prefix: set(registry.repository_prefix.clone()),
    }
}

fn git(git: &DeclaredGit) -> Git {
    Git {
        provider: match git.provider {
            DeclaredProvider::Gitlab => Provider::Gitlab,
            DeclaredProvider::Github => Provider::Github,
        },
        base_url: git.base_url.clone(),
        token: git.token.clone().unwrap_or_default(),
    }
}

fn set<T>(value: Option<T>) -> Change<T> {
    value.map_or(Change::Clear, Change::Set)
}
