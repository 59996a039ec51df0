//! Construction records: created, changed and moved along, each together with the event that tells of it.
//!
//! A use case that changes a record takes a [`Render`] and returns what that made of the record: the caller has
//! nothing else to answer with, so the answer and the event's `data` are the same bytes. What a change tells is said
//! here, in [`records`], beside what it does.

mod records;

use plumbline_domain::construction::{
    Bid, BidStep, ChangeOrder, ChangeOrderStep, Fault, Item, Lifecycle, PayApp, PayAppStep, Project,
};
use plumbline_domain::{
    BidId, ChangeOrderId, CompanyId, ContactId, EventType, JsonText, PayAppId, ProjectId, TenantId,
};
use plumbline_store::construction::{self as store, Staged, Stored};

use crate::{Engine, Error, FieldError, Unit};

/// How a record reads, in the answer to its change and in the event that tells of it.
pub trait Render<R> {
    /// The whole record, a JSON object.
    fn record(&self, record: &R) -> JsonText;

    /// Of the record as it was before, what differs from how it is now: a JSON object. When it was changed is not
    /// among it.
    fn prior(&self, before: &R, after: &R) -> JsonText;
}

/// A record that a tenant keeps, with its rules and its events.
pub trait Record: Stored<Details: Clone + PartialEq> + Clone {
    /// What it is called in a sentence.
    const WORD: &'static str;
    /// The event that tells that there is a new one, if any does.
    const CREATED: Option<&'static str>;

    /// Its id.
    fn id(&self) -> Self::Id;

    /// What its client says of it.
    fn details(&self) -> &Self::Details;

    /// What is wrong with details, as far as they themselves show it.
    fn faults(details: &Self::Details) -> Vec<Fault>;

    /// The other records that details refer to, by the field that does.
    fn references(details: &Self::Details) -> Vec<(&'static str, Reference)>;

    /// Whether its details may be changed in its state.
    ///
    /// # Errors
    /// [`Error::Conflict`] says what the state is.
    fn may_change(&self) -> Result<(), Error> {
        Ok(())
    }

    /// The events that tell of a change of its details. Each comes with the record as it would have been before, had
    /// only what this event tells of changed.
    fn changes(before: &Self, after: &Self) -> Vec<(&'static str, Self)>;
}

/// Another record of the same tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// A contact.
    Contact(ContactId),
    /// A company.
    Company(CompanyId),
    /// A project.
    Project(ProjectId),
}

/// A record that moves by steps.
trait Moving: Record + Staged {
    fn status(&self) -> Self::Status;

    /// What a step needs beside the right state.
    fn check(&self, _: StepOf<Self>) -> Result<(), Error> {
        Ok(())
    }

    /// The event that tells of a step, if one does.
    fn told_by(step: StepOf<Self>) -> Option<&'static str>;
}

type StepOf<R> = <<R as Staged>::Status as Lifecycle>::Step;

impl Engine {
    /// One record.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Unavailable`].
    pub async fn record<R: Record>(&self, tenant: TenantId, id: R::Id) -> Result<R, Error> {
        store::get(&self.store().session().await?, tenant, id)
            .await?
            .ok_or(Error::NotFound(R::WORD))
    }

    /// A page of a tenant's records, newest first, older than `before`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn records<R: Record>(
        &self,
        tenant: TenantId,
        before: Option<R::Id>,
        limit: usize,
    ) -> Result<Vec<R>, Error> {
        Ok(store::list(&self.store().session().await?, tenant, before, limit).await?)
    }
}

impl Unit {
    /// Create a record. Returns it rendered.
    ///
    /// # Errors
    /// [`Error::Invalid`] names every faulty field, also those that refer to nothing of this tenant.
    pub async fn create_record<R: Record>(
        &mut self,
        details: &R::Details,
        render: &impl Render<R>,
    ) -> Result<JsonText, Error> {
        self.check_details::<R>(details).await?;
        let record = store::insert::<R>(&self.session, self.tenant, details).await?;
        self.tell(R::CREATED, &record, render)
    }

    /// Change what the client says of a record. `change` gets the details as they are and makes them what they are to
    /// be; when that is the same, nothing happens and nothing is told. Returns the record rendered.
    ///
    /// # Errors
    /// [`Error::NotFound`]; what `change` fails with; [`Error::Conflict`] when the record's state does not allow it;
    /// [`Error::Invalid`] names every faulty field.
    pub async fn update_record<R: Record>(
        &mut self,
        id: R::Id,
        change: impl FnOnce(&mut R::Details) -> Result<(), Error>,
        render: &impl Render<R>,
    ) -> Result<JsonText, Error> {
        let before = self.lock_record::<R>(id).await?;
        let mut details = before.details().clone();
        change(&mut details)?;
        if details == *before.details() {
            return Ok(render.record(&before));
        }
        before.may_change()?;
        self.check_details::<R>(&details).await?;
        let after = store::update::<R>(&self.session, self.tenant, id, &details).await?;
        self.tell_changes(&before, &after, render)
    }

    /// Send, view, accept or reject a bid. Returns it rendered.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] when its state does not allow it.
    pub async fn step_bid(
        &mut self,
        id: BidId,
        step: BidStep,
        render: &impl Render<Bid>,
    ) -> Result<JsonText, Error> {
        self.step(id, step, render).await
    }

    /// Submit or approve a pay application. Returns it rendered.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] when its state does not allow it.
    pub async fn step_pay_app(
        &mut self,
        id: PayAppId,
        step: PayAppStep,
        render: &impl Render<PayApp>,
    ) -> Result<JsonText, Error> {
        self.step(id, step, render).await
    }

    /// Submit a change order. Returns it rendered.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] when its state does not allow it, or it has no item.
    pub async fn submit_change_order(
        &mut self,
        id: ChangeOrderId,
        render: &impl Render<ChangeOrder>,
    ) -> Result<JsonText, Error> {
        self.step(id, ChangeOrderStep::Submit, render).await
    }

    /// Add items to a change order that is being written. Returns it rendered.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] when it is not a draft; [`Error::Invalid`] for faulty items.
    pub async fn add_change_order_items(
        &mut self,
        id: ChangeOrderId,
        items: &[Item],
        render: &impl Render<ChangeOrder>,
    ) -> Result<JsonText, Error> {
        let order = self.lock_record::<ChangeOrder>(id).await?;
        order.may_change()?;
        refuse(order.details.faults_of_added(items))?;
        let present = order.details.items.len();
        store::append_to_change_order(&self.session, self.tenant, id, present, items).await?;
        let order = self.present::<ChangeOrder>(id).await?;
        self.tell(None, &order, render)
    }

    /// Approve a change order: append its items to the project's newest accepted bid, if there is one, and add their
    /// total to the project's contract value. Returns it rendered.
    ///
    /// `change_order.approved` tells of it, and `project.updated` if the contract value has changed.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] when its state, the contract value or the bid does not allow it.
    pub async fn approve_change_order<D>(&mut self, id: ChangeOrderId, render: &D) -> Result<JsonText, Error>
    where
        D: Render<ChangeOrder> + Render<Project>,
    {
        let order = self.lock_record::<ChangeOrder>(id).await?;
        // Whoever approves another change order of the project waits here, and then sees what this one has done.
        let project = self.lock_record::<Project>(order.details.project).await?;
        let bid = store::lock_accepted_bid(&self.session, self.tenant, project.id).await?;
        let bid_items = bid.as_ref().map(|bid| bid.details.items.len());
        let approval = order
            .approval(project.details.contract_value, bid_items)
            .map_err(|refusal| Error::Conflict(refusal.to_string()))?;

        store::advance::<ChangeOrder>(&self.session, self.tenant, id, approval.status).await?;
        if let Some(bid) = &bid {
            let (present, items) = (bid.details.items.len(), &order.details.items);
            store::append_to_bid(&self.session, self.tenant, bid.id, present, items).await?;
            store::applied_to_bid(&self.session, self.tenant, id, bid.id).await?;
        }
        let mut details = project.details.clone();
        details.contract_value = approval.contract_value;
        if details != project.details {
            let after = store::update::<Project>(&self.session, self.tenant, project.id, &details).await?;
            self.tell_changes(&project, &after, render)?;
        }
        let order = self.present::<ChangeOrder>(id).await?;
        self.tell(ChangeOrder::told_by(ChangeOrderStep::Approve), &order, render)
    }

    /// One step of a record, and nothing beside it.
    async fn step<R: Moving>(
        &mut self,
        id: R::Id,
        step: StepOf<R>,
        render: &impl Render<R>,
    ) -> Result<JsonText, Error> {
        let record = self.lock_record::<R>(id).await?;
        let to = record
            .status()
            .after(step)
            .map_err(|refusal| Error::Conflict(refusal.to_string()))?;
        record.check(step)?;
        let record = store::advance::<R>(&self.session, self.tenant, id, to).await?;
        self.tell(R::told_by(step), &record, render)
    }

    /// Render a record once, for the answer and for the event that tells of it, if one does.
    fn tell<R: Record>(
        &mut self,
        event: Option<&'static str>,
        record: &R,
        render: &impl Render<R>,
    ) -> Result<JsonText, Error> {
        let data = render.record(record);
        if let Some(event) = event {
            self.emit(event_type(event), data.clone(), None)?;
        }
        Ok(data)
    }

    /// The same for every event that tells of a change.
    fn tell_changes<R: Record>(
        &mut self,
        before: &R,
        after: &R,
        render: &impl Render<R>,
    ) -> Result<JsonText, Error> {
        let data = render.record(after);
        for (event, before) in R::changes(before, after) {
            let prior = render.prior(&before, after);
            self.emit(event_type(event), data.clone(), Some(prior))?;
        }
        Ok(data)
    }

    async fn check_details<R: Record>(&self, details: &R::Details) -> Result<(), Error> {
        let mut faults: Vec<FieldError> = R::faults(details).into_iter().map(FieldError::from).collect();
        for (field, reference) in R::references(details) {
            let (word, is_there) = self.look_up(reference).await?;
            if !is_there {
                let message = format!("there is no such {word}: create it first");
                faults.push(FieldError::new(field, "not_found", message));
            }
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Error::Invalid(faults))
        }
    }

    /// What a reference leads to, and whether the tenant has it.
    async fn look_up(&self, reference: Reference) -> Result<(&'static str, bool), Error> {
        match reference {
            Reference::Contact(id) => self.has::<plumbline_domain::construction::Contact>(id).await,
            Reference::Company(id) => self.has::<plumbline_domain::construction::Company>(id).await,
            Reference::Project(id) => self.has::<Project>(id).await,
        }
    }

    async fn has<R: Record>(&self, id: R::Id) -> Result<(&'static str, bool), Error> {
        let found = store::get::<R>(&self.session, self.tenant, id).await?;
        Ok((R::WORD, found.is_some()))
    }

    async fn lock_record<R: Record>(&self, id: R::Id) -> Result<R, Error> {
        store::lock(&self.session, self.tenant, id)
            .await?
            .ok_or(Error::NotFound(R::WORD))
    }

    /// A record that is locked, as it is by now.
    async fn present<R: Record>(&self, id: R::Id) -> Result<R, Error> {
        store::get(&self.session, self.tenant, id)
            .await?
            .ok_or(Error::Internal("a locked record vanished"))
    }
}

fn event_type(name: &'static str) -> EventType {
    name.parse().expect("a constant name")
}

fn refuse(faults: Vec<Fault>) -> Result<(), Error> {
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Error::Invalid(faults.into_iter().map(FieldError::from).collect()))
    }
}

impl From<Fault> for FieldError {
    fn from(fault: Fault) -> Self {
        Self::new(fault.field, fault.code, fault.message)
    }
}
