// From when on an endpoint that was disabled has missed something.

/** How long a delivery is retried by the default schedule: 31.4 hours, and a little. */
export const RETRIED_FOR_MS = 32 * 3_600_000;

/**
 * A delivery that was still being retried when the endpoint was disabled ended because of that, but was recorded before:
 * an outage's very first events are among them. So the range begins as long before as retries last. Nothing that has
 * arrived is sent again.
 */
export const missedSince = (disabledAt: string): string => new Date(Date.parse(disabledAt) - RETRIED_FOR_MS).toISOString();
