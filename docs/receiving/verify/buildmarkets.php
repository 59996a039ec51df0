<?php
// Receives Buildmarkets' webhooks. PHP 8.1 or newer, no packages. Put it where your web server runs PHP, or try it out:
//   WEBHOOK_SECRET=whsec_… php -S 127.0.0.1:3000 receiver.php

declare(strict_types=1);
ini_set('display_errors', '0'); // With it, PHP would answer 200 when this script fails.

const TOLERANCE_SECONDS = 300;
const BODY_BYTES_MAX = 1024 * 1024;

/** Throws unless Buildmarkets signed these bytes just now. $body is exactly as it came: never parse it first. */
function verify(string $key, array $server, string $body, int $now): void
{
    foreach (['webhook-id', 'webhook-timestamp', 'webhook-signature'] as $name) {
        $headers[$name] = $server['HTTP_' . strtr(strtoupper($name), '-', '_')] ?? '';
        if ($headers[$name] === '') {
            throw new InvalidArgumentException("no $name header");
        }
    }
    ['webhook-id' => $id, 'webhook-timestamp' => $time, 'webhook-signature' => $header] = $headers;
    if (!preg_match('/\A[0-9]{1,12}\z/', $time)) {
        throw new InvalidArgumentException('the webhook-timestamp header is not a number of seconds');
    }
    $signatures = preg_grep('#\Av1,[A-Za-z0-9+/]{43}=\z#', explode(' ', $header));
    if ($signatures === []) {
        throw new InvalidArgumentException('the webhook-signature header has no v1,<base64 of 32 bytes>');
    }
    if (abs($now - (int) $time) > TOLERANCE_SECONDS) {
        throw new InvalidArgumentException('the timestamp is more than 300 s away from this clock');
    }
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$time.$body", $key, true));
    // Several while a secret is rotated: one that fits is enough.
    foreach ($signatures as $signature) {
        if (hash_equals($expected, $signature)) {
            return;
        }
    }
    throw new InvalidArgumentException('no signature fits: another secret, or the body is not the bytes that came');
}

function answer(int $status, string $text): never
{
    http_response_code($status);
    header('Content-Type: text/plain');
    exit("$text\n");
}

$secret = getenv('WEBHOOK_SECRET') ?: 'whsec_REPLACE_ME';
if (str_ends_with($secret, '_REPLACE_ME')) {
    answer(500, "set WEBHOOK_SECRET to your endpoint's secret");
}
// The key is what the secret, without whsec_, is the base64 of.
$key = base64_decode(preg_replace('/\Awhsec_/', '', $secret));
if ($key === '') {
    answer(500, 'WEBHOOK_SECRET is not base64');
}
$body = file_get_contents('php://input', length: BODY_BYTES_MAX + 1);
if (strlen($body) > BODY_BYTES_MAX) {
    answer(413, 'the body is larger than ' . BODY_BYTES_MAX . ' bytes');
}
try {
    verify($key, $_SERVER, $body, time());
} catch (InvalidArgumentException $error) {
    answer(400, $error->getMessage()); // It appears in the delivery log, where you will look for it.
}
$id = $_SERVER['HTTP_WEBHOOK_ID']; // The event's: the same each time that it is sent.
$event = json_decode($body, true, 512, JSON_THROW_ON_ERROR);
// The events that were handled. In production: a unique column, written in the transaction that does the work.
$handled = sys_get_temp_dir() . '/handled-' . preg_replace('/[^\w-]/', '', $id);
if (!file_exists($handled)) {
    // Only store the event here, in a table or a queue, and do the work in another process.
    error_log("received {$event['event_type']} $id");
    touch($handled);
}
answer(200, 'ok');
