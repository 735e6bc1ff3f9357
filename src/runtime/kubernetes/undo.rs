//! Back to what ran before, and taking everything away.

use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher;
use tokio::time::Instant;

use super::follow::Following;
use super::manifest;
use super::namespace::Standing;
use super::prune::{self, Kept};
use super::watch::Known;
use super::{KubernetesRuntime, selector_of};
use crate::cluster::watch;
use crate::domain::spec::Target;
use crate::runtime::{Progress, Rollout, RuntimeError, Volumes};

/// How long the pods of the earlier revision may take to serve again until that is somebody else's worry: they are as they
/// were, and their status tells the rest.
const BACK: Duration = Duration::from_secs(120);
/// How long a namespace or the last pods may take to go; whoever asked then asks again.
const GONE: Duration = Duration::from_secs(120);

impl KubernetesRuntime {
    /// Applies an earlier revision again and removes what is not in it. Where a rollout was left half way its old pods
    /// never stopped, and only the new ones go.
    pub(super) async fn bring_back(&self, previous: &Rollout, progress: &dyn Progress) -> Result<(), RuntimeError> {
        let target = &previous.spec.target;
        let until = Instant::now() + previous.deadline.min(BACK);
        self.claim_namespace(target, until).await?;
        let objects = manifest::objects(previous)?;
        let kept = prune::kept(&objects);
        let mut told = Vec::new();
        let applied = self.apply_objects(previous, objects, &mut told).await?;
        self.remove_others(target, &kept).await?;
        match Following::new(self, previous, applied, progress).until_it_serves(until).await {
            Ok(_) => {}
            Err(why @ (RuntimeError::Unreachable(_) | RuntimeError::Unauthorized(_))) => return Err(why),
            Err(why) => progress.line(&format!("What ran before is back, but does not serve: {why}")).await,
        }
        Ok(())
    }

    /// Nothing ran before: everything goes but volumes, which may hold something by now.
    pub(super) async fn take_back(&self, target: &Target) -> Result<(), RuntimeError> {
        let uid = match self.standing(target).await {
            Ok(Standing::Ours(uid)) => uid,
            // Nothing of ours is in somebody else's.
            Ok(Standing::Absent | Standing::Left(_) | Standing::Leaving) | Err(RuntimeError::NotOwned(_)) => {
                return Ok(());
            }
            Err(why) => return Err(why),
        };
        if self.has_volumes(target).await? {
            return self.remove_others(target, &Kept::new()).await;
        }
        self.delete_namespace(target, uid).await
    }

    pub(super) async fn remove_all(&self, target: &Target, volumes: Volumes) -> Result<(), RuntimeError> {
        let until = Instant::now() + GONE;
        let uid = match self.standing(target).await {
            Ok(Standing::Ours(uid)) => uid,
            Ok(Standing::Leaving) => return self.until_gone(target, until).await,
            // It was left by an earlier try, or by an environment before this one.
            Ok(Standing::Absent | Standing::Left(_)) => return Ok(()),
            Err(RuntimeError::NotOwned(_)) => return self.remove_from_elsewhere(target, until).await,
            Err(why) => return Err(why),
        };
        if volumes == Volumes::Keep && self.has_volumes(target).await? {
            self.remove_others(target, &Kept::new()).await?;
            self.until_no_pods(target, until).await?;
            return self.leave_namespace(target).await;
        }
        self.delete_namespace(target, uid).await?;
        self.until_gone(target, until).await
    }

    /// The namespace is not ours, or does not say so any more: what is in it and says that it is the environment's goes,
    /// and the namespace stays. Where we may not look there is nothing of ours.
    async fn remove_from_elsewhere(&self, target: &Target, until: Instant) -> Result<(), RuntimeError> {
        match self.remove_others(target, &Kept::new()).await {
            Ok(()) => self.until_no_pods(target, until).await,
            Err(RuntimeError::Unauthorized(_)) => Ok(()),
            Err(why) => Err(why),
        }
    }

    /// Waits for the last pod to be gone.
    async fn until_no_pods(&self, target: &Target, until: Instant) -> Result<(), RuntimeError> {
        let ours = watcher::Config::default().labels(&selector_of(target));
        let mut heard = watch(self.api_in::<Pod>(&target.namespace), ours);
        let mut known = Known::<Pod>::default();
        while !known.is_whole || !known.all.is_empty() {
            match tokio::time::timeout_at(until, heard.next()).await {
                Ok(Some(Ok(event))) => known.take(event),
                // The watch begins anew by itself, until there is no more time.
                Ok(Some(Err(_))) => {}
                Ok(None) | Err(_) => {
                    let name = known.all.into_keys().next().unwrap_or_default();
                    return Err(RuntimeError::TimedOut(format!("the pod {name} is still there")));
                }
            }
        }
        Ok(())
    }
}
