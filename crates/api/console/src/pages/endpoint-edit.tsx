// Changing an endpoint.

import { useQueryClient } from '@tanstack/react-query';
import * as calls from '../api/calls';
import type { Endpoint, EndpointInput } from '../api/types';
import { ENDPOINT_FIELDS, EndpointForm } from '../parts/endpoint-form';
import { useSending } from '../parts/form';
import { Page } from '../parts/page';
import { Waiting } from '../parts/problem';
import { useEndpoint } from '../queries';
import { Link, navigate } from '../router';
import { ReadOnly, useMayChange } from '../session';
import { shortUrl } from '../words/urls';

export default function EditEndpoint({ id = '' }: Record<string, string>) {
  const endpoint = useEndpoint(Number(id));
  const may = useMayChange();
  const crumbs = [{ name: 'Endpoints', to: '/endpoints' }, { name: endpoint.data ? shortUrl(endpoint.data.url) : id, to: `/endpoints/${id}` }];
  return (
    <Page title="Edit the endpoint" crumbs={crumbs} isNarrow>
      {!may && <ReadOnly what="change endpoints" />}
      <Waiting query={endpoint} />
      {may && endpoint.data && <Edit endpoint={endpoint.data} />}
    </Page>
  );
}

function Edit({ endpoint }: { endpoint: Endpoint }) {
  const client = useQueryClient();
  const sending = useSending(ENDPOINT_FIELDS);
  const submit = async (input: EndpointInput) => {
    const changes = changed(endpoint, input);
    const answer = await sending.send(JSON.stringify(changes), () => calls.updateEndpoint(endpoint.id, changes));
    if (!answer) return;
    client.setQueryData(['endpoints', endpoint.id], answer);
    void client.invalidateQueries({ queryKey: ['endpoints'] });
    navigate(`/endpoints/${endpoint.id}`);
  };
  return (
    <EndpointForm
      endpoint={endpoint}
      sending={sending}
      verb="Save"
      submit={(input) => void submit(input)}
      cancel={
        <Link className="button" to={`/endpoints/${endpoint.id}`}>
          Cancel
        </Link>
      }
    />
  );
}

/** Only what is different: what is left out stays as it is, also where somebody else changed it meanwhile. */
function changed(endpoint: Endpoint, input: EndpointInput): Partial<EndpointInput> {
  const changes: Partial<EndpointInput> = {};
  if (input.url !== endpoint.url) changes.url = input.url;
  if (input.description !== endpoint.description) changes.description = input.description;
  if (input.rateLimit !== endpoint.rateLimit) changes.rateLimit = input.rateLimit;
  const sorted = (types: string[]) => JSON.stringify(types.toSorted());
  if (sorted(input.eventTypes) !== sorted(endpoint.eventTypes)) changes.eventTypes = input.eventTypes;
  if (input.headers) changes.headers = input.headers;
  return changes;
}
