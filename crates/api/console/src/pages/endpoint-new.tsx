// Creating an endpoint, and its secret, shown once.

import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import * as calls from '../api/calls';
import type { Endpoint, EndpointInput } from '../api/types';
import { ENDPOINT_FIELDS, EndpointForm } from '../parts/endpoint-form';
import { useSending } from '../parts/form';
import { Page } from '../parts/page';
import { SecretLost, SecretShown } from '../parts/secret';
import { Link } from '../router';
import { ReadOnly, useMayChange } from '../session';
import { PROFILES } from '../words/profiles';

const CRUMBS = [{ name: 'Endpoints', to: '/endpoints' }];

export default function NewEndpoint() {
  const client = useQueryClient();
  const may = useMayChange();
  const sending = useSending(ENDPOINT_FIELDS);
  const [created, setCreated] = useState<(Endpoint & { signingSecret?: string }) | null>(null);

  const submit = async (input: EndpointInput) => {
    const answer = await sending.send(JSON.stringify(input), (key) => calls.createEndpoint(input, key));
    if (!answer) return;
    setCreated(answer);
    window.scrollTo(0, 0);
    void client.invalidateQueries({ queryKey: ['endpoints'] });
  };

  if (!may) {
    return (
      <Page title="Create an endpoint" crumbs={CRUMBS} isNarrow>
        <ReadOnly what="create endpoints" />
      </Page>
    );
  }
  if (created) {
    return (
      <Page key="created" title="The endpoint is ready" crumbs={CRUMBS} lead={`Deliveries to ${created.url} are signed in the header ${PROFILES[created.profile].signature}.`} isNarrow>
        <div className="card">
          <div className="card-body form-body">{created.signingSecret ? <SecretShown secret={created.signingSecret} profile={created.profile} url={created.url} /> : <SecretLost />}</div>
        </div>
        <div className="row">
          <Link className="button primary" to={`/endpoints/${created.id}`}>
            I have saved it: go to the endpoint
          </Link>
        </div>
      </Page>
    );
  }
  return (
    <Page title="Create an endpoint" crumbs={CRUMBS} lead="Where events are sent, and which." isNarrow>
      <EndpointForm
        sending={sending}
        verb="Create the endpoint"
        submit={(input) => void submit(input)}
        cancel={
          <Link className="button" to="/endpoints">
            Cancel
          </Link>
        }
      />
    </Page>
  );
}
