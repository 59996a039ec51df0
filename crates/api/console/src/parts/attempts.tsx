// Every attempt of a delivery: what was sent, what came back, and what to make of it.

import type { Attempt, DeliveryDetail } from '../api/types';
import { curl, hasHidden, verifyCommand } from '../logic/curl';
import { explain, thenOf } from '../words/explain';
import { shortResult } from '../words/status';
import { milliseconds } from '../words/time';
import { Code } from './code';
import { Icon } from './icons';
import { Time } from './time';
import { TimingBar } from './timing';

interface AttemptsProps {
  delivery: DeliveryDetail;
  url: string | null;
  /** Whether the page says already what the newest one failed of. */
  isExplained: boolean;
}

export function Attempts({ delivery, url, isExplained }: AttemptsProps) {
  const newest = delivery.attempts.length;
  return (
    <div>
      {delivery.attempts.toReversed().map((attempt) => (
        <OneAttempt key={attempt.number} attempt={attempt} delivery={delivery} url={url} isNewest={attempt.number === newest} isExplained={isExplained && attempt.number === newest} />
      ))}
    </div>
  );
}

interface OneAttemptProps extends AttemptsProps {
  attempt: Attempt;
  isNewest: boolean;
}

function OneAttempt({ attempt, delivery, url, isNewest, isExplained }: OneAttemptProps) {
  const explanation = explain(attempt.error?.code ?? null, attempt.responseStatus, isNewest ? thenOf(delivery) : 'settled');
  const isSuccess = attempt.responseStatus !== null && attempt.responseStatus >= 200 && attempt.responseStatus < 300;
  const command = url && { url, headers: attempt.requestHeaders, body: delivery.payloadText };
  return (
    <details className="attempt" open={isNewest}>
      <summary>
        <Icon name="chevron" size={14} />
        <span>
          <b>Attempt {attempt.number}</b>
        </span>
        <span>
          <span className={`badge ${isSuccess ? 'good' : 'bad'}`}>{shortResult(attempt.error?.code ?? null, attempt.responseStatus)}</span>
        </span>
        <span className="only-wide muted one-line in-short">{explanation?.what ?? 'The receiver took it.'}</span>
        <span className="small muted nowrap">
          <Time at={attempt.startedAt} /> · {milliseconds(attempt.durationMs)}
        </span>
      </summary>
      <div className="attempt-body">
        {isExplained && attempt.error?.message && <p className="muted">In detail: {attempt.error.message}</p>}
        {explanation && !isExplained && (
          <div className="note bad">
            <div>
              <p>
                <strong>{explanation.what}</strong>
              </p>
              <p>{explanation.remedy}</p>
              {attempt.error?.message && <p className="small muted">In detail: {attempt.error.message}</p>}
            </div>
          </div>
        )}
        <section className="stack tight">
          <h3>Time</h3>
          <TimingBar attempt={attempt} />
        </section>
        <div className="columns">
          <section className="stack tight">
            <h3>Response</h3>
            {attempt.responseStatus === null ? (
              <p className="muted">There was none.</p>
            ) : (
              <>
                <p>
                  HTTP <b>{attempt.responseStatus}</b>
                </p>
                <Headers headers={attempt.responseHeaders ?? {}} caption="Response headers" />
                {attempt.responseBody ? (
                  <Code title="Response body, its first 10 KB" text={attempt.responseBody} doesWrap />
                ) : (
                  <p className="muted">The body was empty.</p>
                )}
              </>
            )}
          </section>
          <section className="stack tight">
            <h3>Request headers</h3>
            <Headers headers={attempt.requestHeaders} caption="Request headers" />
          </section>
        </div>
        {command && isRefused(attempt.responseStatus) && (
          <details>
            <summary>Check the signature</summary>
            <div className="stack tight curl">
              <Code title="plumbline verify" text={verifyCommand(delivery.profile ?? 'buildworkpro', attempt.requestHeaders, attempt.startedAt)} doesWrap />
              <p className="hint">
                Save the body that the receiver got as <code>body</code>, byte for byte, and put the secret that the receiver has in place of <code>whsec_…</code>: it says what is
                wrong. A new secret that is prepared does not sign yet.
              </p>
            </div>
          </details>
        )}
        {command && (
          <details>
            <summary>Reproduce with curl</summary>
            <div className="stack tight curl">
              <Code title="curl" text={curl(command)} doesWrap />
              <p className="hint">
                The signature is that of this attempt: a receiver that checks the timestamp refuses it after 5 minutes.
                {hasHidden(attempt.requestHeaders) && " Put the values of the endpoint's own headers in place of REPLACE_…: they are never shown."}
              </p>
            </div>
          </details>
        )}
      </div>
    </details>
  );
}

/** What receivers answer when the signature does not fit. */
const isRefused = (status: number | null) => status === 400 || status === 401 || status === 403;

function Headers({ headers, caption }: { headers: Record<string, string>; caption: string }) {
  const names = Object.keys(headers);
  if (names.length === 0) return <p className="muted">{caption === 'Response headers' ? 'No headers of the response were recorded.' : 'No headers of the request were recorded.'}</p>;
  return (
    <table className="headers-table">
      <caption className="sr-only">{caption}</caption>
      <tbody>
        {names.map((name) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>{headers[name]}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
