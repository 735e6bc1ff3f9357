//! Where a deployment goes: to the runtime where its environment serves, or away from there to another one.

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

use entity::{environment, runtime};
use sea_orm::ConnectionTrait;

use super::{environments, leftovers, request};
use crate::app::runtimes::same::{self, Sameness};
use crate::app::{App, Result, Scope, runtimes};
use crate::domain::spec::{ContainerSpec, Spec, Target};

/// A runtime, as far as a plan has to name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

impl From<&runtime::Model> for Stop {
    fn from(row: &runtime::Model) -> Self {
        Self { id: row.id.clone(), name: row.name.clone() }
    }
}

/// Where a deployment goes, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    /// Where the revision will serve.
    pub to: Stop,
    /// Where the one before serves.
    pub from: Origin,
    /// The environment was there before, or tried to be, and may have left volumes.
    pub was_there: bool,
}

/// Where what serves now is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// There too, or nowhere.
    Here,
    /// There too, under another registration of the same engine.
    Alias(Stop),
    /// On another engine or cluster, which goes on serving until the new revision does.
    Elsewhere(Stop),
}

impl Course {
    /// The runtime that the environment leaves.
    #[must_use]
    pub fn leaves(&self) -> Option<&Stop> {
        match &self.from {
            Origin::Elsewhere(from) => Some(from),
            Origin::Here | Origin::Alias(_) => None,
        }
    }

    /// What the person should know of the way, before it is gone.
    #[must_use]
    pub fn notes(&self, spec: &Spec, current: Option<&Spec>) -> Vec<String> {
        let to = &self.to.name;
        let from = match &self.from {
            Origin::Here => return Vec::new(),
            Origin::Alias(from) => {
                return vec![format!(
                    "runtime {to} is the same engine as {}: nothing moves, it only belongs to {to} from then on",
                    from.name
                )];
            }
            Origin::Elsewhere(from) => &from.name,
        };
        let mut notes = vec![format!(
            "it moves from runtime {from} to runtime {to}: {from} goes on serving until the new revision serves on \
             {to}; then its containers and networks are taken down there, and its volumes stay there"
        )];
        if spec.containers.iter().any(|c| c.port.is_some() && !c.is_internal) {
            notes.push(format!("its addresses will be those of {to}, and host ports are chosen anew there"));
        }
        let volumes = |spec: &Spec| -> Vec<(String, String)> {
            let paths = |c: &ContainerSpec| -> Vec<_> {
                c.volumes.iter().map(|v| (c.name.clone(), v.mount_path.clone())).collect()
            };
            spec.containers.iter().flat_map(paths).collect()
        };
        let (wanted, held) = (volumes(spec), current.map(volumes).unwrap_or_default());
        for (container, path) in &wanted {
            let begins = match self.was_there {
                true => format!("holds what was left there on {to}, if it was there then, else it starts empty"),
                false => format!("starts empty on {to}"),
            };
            let stays = match held.contains(&(container.clone(), path.clone())) {
                true => format!("; what it holds on {from} stays there and is not copied"),
                false => String::new(),
            };
            notes.push(format!("volume {path} of {container} {begins}{stays}"));
        }
        for (container, path) in held.iter().filter(|volume| !wanted.contains(volume)) {
            notes.push(format!("volume {path} of {container} stays on {from}"));
        }
        notes
    }
}

/// The way to a runtime, from what is stored.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn course(
    db: &impl ConnectionTrait,
    scope: &Scope,
    environment: &environment::Model,
    to: &runtime::Model,
) -> Result<Course> {
    let Some(from) = origin(db, scope, environment, to).await? else { return Ok(here(to)) };
    let from = match same::as_stored(&from, to) {
        Sameness::Same => Origin::Alias(Stop::from(&from)),
        // The deployment itself asks both before it does anything.
        Sameness::Different | Sameness::Unknown => Origin::Elsewhere(Stop::from(&from)),
    };
    complete(db, environment, to, from).await
}

/// The way to a runtime, after asking both ends which engine they are. The inner error says why there is none now.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn course_for_certain(
    app: &App,
    scope: &Scope,
    environment: &environment::Model,
    to: &runtime::Model,
) -> Result<std::result::Result<Course, String>> {
    let db = app.db.read();
    let Some(from) = origin(db, scope, environment, to).await? else {
        // Where nothing serves yet, what an earlier try left there may be on its way out.
        let in_the_way = match environment.current_deployment_id {
            Some(_) => None,
            None => leftovers::in_the_way(app, &environment.id, to).await?,
        };
        return Ok(in_the_way.map_or_else(|| Ok(here(to)), Err));
    };
    let from = match same::ask(app, &from, to).await {
        Sameness::Same => match is_there(app, environment, &from, to).await? {
            Seen::There => Origin::Alias(Stop::from(&from)),
            Seen::NotThere => {
                return Ok(Err(format!(
                    "runtimes {} and {} say that they are the same engine, and what runs on {} is not seen on {}: if \
                     one is a copy of the other, give it an id of its own",
                    from.name, to.name, from.name, to.name
                )));
            }
            Seen::NoAnswer(name) => {
                return Ok(Err(format!(
                    "runtimes {} and {} are the same engine by what they said, and runtime {name} does not answer now",
                    from.name, to.name
                )));
            }
        },
        Sameness::Different => Origin::Elsewhere(Stop::from(&from)),
        Sameness::Unknown => {
            return Ok(Err(format!(
                "runtimes {} and {} do not say whether they are one engine, so that nothing can be moved between them",
                from.name, to.name
            )));
        }
    };
    if matches!(from, Origin::Elsewhere(_))
        && let Some(why) = leftovers::in_the_way(app, &environment.id, to).await?
    {
        return Ok(Err(why));
    }
    complete(db, environment, to, from).await.map(Ok)
}

/// Whether what serves on one runtime is seen on another.
enum Seen {
    There,
    NotThere,
    /// The runtime of this name does not say what runs there.
    NoAnswer(String),
}

/// Whether what serves is seen at both addresses of what says to be one engine. Machines that were copied have engines
/// of one id, and are two all the same.
async fn is_there(
    app: &App,
    environment: &environment::Model,
    from: &runtime::Model,
    to: &runtime::Model,
) -> Result<Seen> {
    let scope = Scope { organization_id: environment.organization_id.clone() };
    let current = request::current_spec(app.db.read(), &scope, environment).await?;
    let Some(current) = current.filter(|_| from.endpoint != to.endpoint) else { return Ok(Seen::There) };
    Ok(match count(app, to, &current.target).await {
        Some(1..) => Seen::There,
        // Perhaps nothing runs at all: then it is not seen at the other address either.
        Some(0) => match count(app, from, &current.target).await {
            Some(0) => Seen::There,
            Some(1..) => Seen::NotThere,
            None => Seen::NoAnswer(from.name.clone()),
        },
        None => Seen::NoAnswer(to.name.clone()),
    })
}

/// How many instances a runtime shows; none when it does not answer.
async fn count(app: &App, runtime: &runtime::Model, target: &Target) -> Option<usize> {
    let client = runtimes::connect(app, runtime).await.ok()?;
    client.instances(target).await.ok().map(|instances| instances.len())
}

/// Whether the environment was on a runtime before, or tried to be, so that volumes there may be its own of old.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn was_on(db: &impl ConnectionTrait, scope: &Scope, environment_id: &str, runtime_id: &str) -> Result<bool> {
    Ok(leftovers::on(db, scope, environment_id, runtime_id).await?.is_some())
}

/// The other runtime on which the environment serves.
async fn origin(
    db: &impl ConnectionTrait,
    scope: &Scope,
    environment: &environment::Model,
    to: &runtime::Model,
) -> Result<Option<runtime::Model>> {
    if environment.current_deployment_id.is_none() || environment.runtime_id == to.id {
        return Ok(None);
    }
    environments::runtime(db, scope, &environment.runtime_id).await.map(Some)
}

fn here(to: &runtime::Model) -> Course {
    Course { to: Stop::from(to), from: Origin::Here, was_there: false }
}

async fn complete(
    db: &impl ConnectionTrait,
    environment: &environment::Model,
    to: &runtime::Model,
    from: Origin,
) -> Result<Course> {
    let scope = Scope { organization_id: environment.organization_id.clone() };
    let was_there = was_on(db, &scope, &environment.id, &to.id).await?;
    Ok(Course { to: Stop::from(to), from, was_there })
}
