// What went wrong with an attempt or a delivery, and what to do about it. One entry for each error code and status
// that the log can show.

import type { Delivery } from '../api/types';
import { type Explanation, isTest } from './status';

const CODES: Record<string, Explanation> = {
  timeout: {
    what: 'The receiver did not send its status line and headers in time (10 s unless the operator chose otherwise).',
    remedy: 'Answer with a 2xx as soon as the event is stored, and do the work afterwards. If it never arrived there, look for a firewall that drops packets.',
  },
  connect_failed: {
    what: 'No connection could be made: the host refused it, or nothing answered at this address and port.',
    remedy: 'Check that the server runs, listens on this port, and that its firewall lets the service in.',
  },
  dns_failed: {
    what: 'The host name has no address.',
    remedy: 'Check the spelling of the URL and the DNS records of the host. A change of DNS is seen at the next attempt.',
  },
  tls_failed: {
    what: 'The TLS handshake failed, or the certificate cannot be trusted: expired, self-signed, for another name, or without its intermediate certificates.',
    remedy: 'Install a certificate of a public authority for this very name, with the whole chain, and offer TLS 1.2 or newer.',
  },
  reset: {
    what: 'The connection broke before the answer was complete.',
    remedy: "Look into the receiver's log around this time: a crash, a restart, or a proxy whose limits are too tight. The event may have been processed: the event id tells.",
  },
  address_forbidden: {
    what: 'The host name leads to an address that is not public, so nothing was sent.',
    remedy: 'Point the name at a public address. Private, loopback and link-local addresses are refused, also when a name turns to one later.',
  },
  bad_response: {
    what: 'What came back was not a valid HTTP answer.',
    remedy: 'Check that the port speaks HTTPS and that no proxy answers with something else.',
  },
  endpoint_disabled: {
    what: 'The endpoint was disabled when this was due, so nothing was sent.',
    remedy: 'Enable the endpoint, then send what it missed with Recover.',
  },
  endpoint_deleted: {
    what: 'The endpoint was deleted before this could be delivered.',
    remedy: 'Nothing is left to send it to. Other endpoints have deliveries of their own of the same event.',
  },
};

const AUTHENTICATION: Explanation = {
  what: 'The receiver refused the request as not authorised.',
  remedy: "Look at the receiver's own check: does it verify with this endpoint's present secret, over the raw body, and does its clock agree within 5 minutes? If it wants a credential of its own, set it as a custom header.",
};

const STATUSES: Record<number, Explanation> = {
  400: {
    what: 'The receiver says that the request is not valid. Many receivers say so when the signature does not match.',
    remedy: "Verify with the whole secret of this endpoint, over the raw body before anything parses it. The answer's body may say more.",
  },
  401: AUTHENTICATION,
  402: { what: 'The receiver asks for payment.', remedy: 'The account behind this URL may have been suspended: ask its host.' },
  403: {
    what: AUTHENTICATION.what,
    remedy: `${AUTHENTICATION.remedy} A web application firewall in front of it may also answer 403.`,
  },
  404: {
    what: 'There is nothing at this path.',
    remedy: "Compare the endpoint's URL with the receiver's route, to the last slash. Then replay the delivery.",
  },
  405: {
    what: 'The path exists, but does not take POST.',
    remedy: 'Let the receiver accept POST at this URL.',
  },
  406: { what: 'The receiver does not want to answer JSON.', remedy: 'Let it ignore the Accept header: any 2xx will do.' },
  408: {
    what: 'The receiver gave up waiting for the request.',
    remedy: 'Its time limit for reading a request is too short, or it was overloaded.',
  },
  409: {
    what: 'The receiver reports a conflict.',
    remedy: 'If it means that it has this event already, answer 2xx for repetitions: the same event may arrive more than once.',
  },
  410: {
    what: 'The receiver says that it is gone for good, so delivery stopped.',
    remedy: 'If it is not gone, correct its answer, enable the endpoint if it was disabled by this, and replay. Otherwise delete the endpoint.',
  },
  411: { what: 'A proxy wants the length of the body.', remedy: 'It is always sent: look for a proxy in between that strips Content-Length.' },
  413: {
    what: 'The receiver, or a proxy before it, finds the body too large.',
    remedy: 'Raise the limit on request bodies to 512 KB or more, then replay.',
  },
  414: { what: 'The receiver finds the URL too long.', remedy: 'Shorten the URL of the endpoint.' },
  415: {
    what: 'The receiver does not accept application/json.',
    remedy: 'Let it accept the content type application/json.',
  },
  422: {
    what: 'The receiver understood the request and does not accept what it says.',
    remedy: "Read the answer's body. If your application cannot use this event, answer 2xx and ignore it.",
  },
  429: {
    what: 'The receiver has too many requests. Its Retry-After is honoured, up to 24 h.',
    remedy: "Set the endpoint's rate limit below what it can take: what exceeds it is delayed, never dropped.",
  },
  500: {
    what: 'The receiver failed while it processed the request.',
    remedy: "Look for this event id in the receiver's error log.",
  },
  502: {
    what: 'A proxy before the receiver got no proper answer from it.',
    remedy: 'Check that the application behind the proxy runs.',
  },
  503: {
    what: 'The receiver is not available at the moment.',
    remedy: 'Overload or maintenance. Recover sends what an outage that outlasts the attempts has cost.',
  },
  504: {
    what: 'A proxy before the receiver waited too long for it.',
    remedy: 'Answer as soon as the event is stored, and do the work afterwards.',
  },
};

function ofStatus(status: number): Explanation {
  const known = STATUSES[status];
  if (known) return known;
  if (status < 200) {
    return {
      what: `The receiver answered ${status}, which is no final answer.`,
      remedy: 'Let it answer with a 2xx.',
    };
  }
  if (status < 400) {
    return {
      what: `The receiver answered with a redirect (${status}). Redirects are never followed, because they could lead anywhere.`,
      remedy: 'Set the URL of the endpoint to where the redirect leads: often https instead of http, with or without www or a trailing slash.',
    };
  }
  if (status < 500) {
    return {
      what: `The receiver refused the request with ${status}.`,
      remedy: "Read the answer's body and the receiver's log, correct the receiver, then replay.",
    };
  }
  return {
    what: `The receiver failed with ${status}.`,
    remedy: "Look into the receiver's log around this time.",
  };
}

/** What comes after a failure: another attempt, or none and why. */
export type Then = 'retried' | 'exhausted' | 'test' | 'settled';

const THEN: Record<Then, string> = {
  retried: ' It is tried again by itself.',
  exhausted: ' All attempts are used up: repair the receiver, then replay it.',
  test: ' A test is sent once: repair the receiver and send another.',
  settled: '',
};

/** What comes after the newest failure of a delivery. */
export function thenOf({ status, eventType, replayOf }: Pick<Delivery, 'status' | 'eventType' | 'replayOf'>): Then {
  if (isTest({ eventType, replayOf })) return 'test';
  if (status === 'pending') return 'retried';
  return status === 'exhausted' ? 'exhausted' : 'settled';
}

/**
 * What to say of an attempt or a delivery that ended like this; null when it is a success or has not ended. Whether it
 * is tried again is only known of the newest attempt, so it is told by `then`, never by the cause.
 */
export function explain(error: string | null, status: number | null, then: Then = 'settled'): Explanation | null {
  // The endpoint's state says more than the last answer before it, and nothing comes after it.
  if (error === 'endpoint_disabled' || error === 'endpoint_deleted') return CODES[error] ?? null;
  const explanation = cause(error, status);
  return explanation && { what: explanation.what, remedy: `${explanation.remedy}${THEN[then]}` };
}

function cause(error: string | null, status: number | null): Explanation | null {
  if (status !== null) return status >= 200 && status < 300 ? null : ofStatus(status);
  if (error === null) return null;
  return (
    CODES[error] ?? {
      what: `The attempt failed: ${error.replaceAll('_', ' ')}.`,
      remedy: "Look into the receiver's log around this time.",
    }
  );
}

/** Every error code that has words of its own. */
export const EXPLAINED_CODES = Object.keys(CODES);
