//! Each record: what it may refer to, when it may be changed, and which events tell of it.

use plumbline_domain::construction::{
    Bid, BidDetails, BidStatus, BidStep, ChangeOrder, ChangeOrderDetails, ChangeOrderStatus, ChangeOrderStep,
    Company, CompanyDetails, Contact, ContactDetails, Fault, Lifecycle, Opportunity, OpportunityDetails,
    PayApp, PayAppDetails, PayAppStatus, PayAppStep, Project, ProjectDetails,
};
use plumbline_domain::{BidId, ChangeOrderId, CompanyId, ContactId, OpportunityId, PayAppId, ProjectId};

use super::{Moving, Record, Reference};
use crate::Error;

impl Record for Contact {
    const WORD: &'static str = "contact";
    const CREATED: Option<&'static str> = Some("contact.created");

    fn id(&self) -> ContactId {
        self.id
    }

    fn details(&self) -> &ContactDetails {
        &self.details
    }

    fn faults(details: &ContactDetails) -> Vec<Fault> {
        details.faults()
    }

    fn references(_: &ContactDetails) -> Vec<(&'static str, Reference)> {
        vec![]
    }

    fn changes(before: &Self, _: &Self) -> Vec<(&'static str, Self)> {
        vec![("contact.updated", before.clone())]
    }
}

impl Record for Company {
    const WORD: &'static str = "company";
    const CREATED: Option<&'static str> = Some("company.created");

    fn id(&self) -> CompanyId {
        self.id
    }

    fn details(&self) -> &CompanyDetails {
        &self.details
    }

    fn faults(details: &CompanyDetails) -> Vec<Fault> {
        details.faults()
    }

    fn references(_: &CompanyDetails) -> Vec<(&'static str, Reference)> {
        vec![]
    }

    fn changes(before: &Self, _: &Self) -> Vec<(&'static str, Self)> {
        vec![("company.updated", before.clone())]
    }
}

impl Record for Opportunity {
    const WORD: &'static str = "opportunity";
    const CREATED: Option<&'static str> = Some("opportunity.created");

    fn id(&self) -> OpportunityId {
        self.id
    }

    fn details(&self) -> &OpportunityDetails {
        &self.details
    }

    fn faults(details: &OpportunityDetails) -> Vec<Fault> {
        details.faults()
    }

    fn references(details: &OpportunityDetails) -> Vec<(&'static str, Reference)> {
        let company = details.company.map(|id| ("companyId", Reference::Company(id)));
        company.into_iter().collect()
    }

    fn changes(before: &Self, _: &Self) -> Vec<(&'static str, Self)> {
        vec![("opportunity.updated", before.clone())]
    }
}

impl Record for Project {
    const WORD: &'static str = "project";
    const CREATED: Option<&'static str> = Some("project.created");

    fn id(&self) -> ProjectId {
        self.id
    }

    fn details(&self) -> &ProjectDetails {
        &self.details
    }

    fn faults(details: &ProjectDetails) -> Vec<Fault> {
        details.faults()
    }

    fn references(details: &ProjectDetails) -> Vec<(&'static str, Reference)> {
        let contact = details.contact.map(|id| ("contactId", Reference::Contact(id)));
        contact.into_iter().collect()
    }

    /// Any change is told as an update; a change of the status is told a second time as that, and as nothing else.
    fn changes(before: &Self, after: &Self) -> Vec<(&'static str, Self)> {
        let mut told = vec![("project.updated", before.clone())];
        if before.details.status != after.details.status {
            let mut only_status = after.clone();
            only_status.details.status = before.details.status;
            told.push(("project.status_changed", only_status));
        }
        told
    }
}

impl Record for Bid {
    const WORD: &'static str = "bid";
    const CREATED: Option<&'static str> = Some("bid.created");

    fn id(&self) -> BidId {
        self.id
    }

    fn details(&self) -> &BidDetails {
        &self.details
    }

    fn faults(details: &BidDetails) -> Vec<Fault> {
        details.faults()
    }

    fn references(details: &BidDetails) -> Vec<(&'static str, Reference)> {
        let project = details.project.map(|id| ("projectId", Reference::Project(id)));
        project.into_iter().collect()
    }

    fn may_change(&self) -> Result<(), Error> {
        only_in(BidStatus::Draft, self.status)
    }

    fn changes(_: &Self, _: &Self) -> Vec<(&'static str, Self)> {
        vec![]
    }
}

impl Moving for Bid {
    fn status(&self) -> BidStatus {
        self.status
    }

    fn told_by(step: BidStep) -> Option<&'static str> {
        match step {
            BidStep::Send | BidStep::View => None,
            BidStep::Accept => Some("bid.accepted"),
            BidStep::Reject => Some("bid.rejected"),
        }
    }
}

impl Record for PayApp {
    const WORD: &'static str = "pay application";
    const CREATED: Option<&'static str> = None;

    fn id(&self) -> PayAppId {
        self.id
    }

    fn details(&self) -> &PayAppDetails {
        &self.details
    }

    fn faults(details: &PayAppDetails) -> Vec<Fault> {
        details.faults()
    }

    fn references(details: &PayAppDetails) -> Vec<(&'static str, Reference)> {
        vec![("projectId", Reference::Project(details.project))]
    }

    fn may_change(&self) -> Result<(), Error> {
        only_in(PayAppStatus::Draft, self.status)
    }

    fn changes(_: &Self, _: &Self) -> Vec<(&'static str, Self)> {
        vec![]
    }
}

impl Moving for PayApp {
    fn status(&self) -> PayAppStatus {
        self.status
    }

    fn told_by(step: PayAppStep) -> Option<&'static str> {
        match step {
            PayAppStep::Submit => Some("pay_app.submitted"),
            PayAppStep::Approve => Some("pay_app.approved"),
        }
    }
}

impl Record for ChangeOrder {
    const WORD: &'static str = "change order";
    const CREATED: Option<&'static str> = None;

    fn id(&self) -> ChangeOrderId {
        self.id
    }

    fn details(&self) -> &ChangeOrderDetails {
        &self.details
    }

    fn faults(details: &ChangeOrderDetails) -> Vec<Fault> {
        details.faults()
    }

    fn references(details: &ChangeOrderDetails) -> Vec<(&'static str, Reference)> {
        vec![("projectId", Reference::Project(details.project))]
    }

    fn may_change(&self) -> Result<(), Error> {
        only_in(ChangeOrderStatus::Draft, self.status)
    }

    fn changes(_: &Self, _: &Self) -> Vec<(&'static str, Self)> {
        vec![]
    }
}

impl Moving for ChangeOrder {
    fn status(&self) -> ChangeOrderStatus {
        self.status
    }

    fn check(&self, step: ChangeOrderStep) -> Result<(), Error> {
        if step == ChangeOrderStep::Submit && self.details.items.is_empty() {
            return Err(Error::Conflict(
                "the change order is empty: add an item before it is submitted".to_owned(),
            ));
        }
        Ok(())
    }

    fn told_by(step: ChangeOrderStep) -> Option<&'static str> {
        match step {
            ChangeOrderStep::Submit => Some("change_order.submitted"),
            ChangeOrderStep::Approve => Some("change_order.approved"),
        }
    }
}

/// A record's details may be changed in one state only.
fn only_in<S: Lifecycle>(state: S, is: S) -> Result<(), Error> {
    if is == state {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "the {} is `{}`: it can be changed only while it is `{}`",
        S::RECORD,
        is.as_str(),
        state.as_str()
    )))
}
