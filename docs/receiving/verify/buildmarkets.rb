# Receives Buildmarkets' webhooks. Ruby 3.0 or newer, no gems.
#
#   WEBHOOK_SECRET=whsec_… PORT=3000 ruby receiver.rb
#
# Receiver is a Rack application: in production mount it in Rails' routes, or `run Receiver` in config.ru.
require "json"
require "openssl"
require "socket"
require "stringio"

SECRET = [ENV["WEBHOOK_SECRET"], "whsec_REPLACE_ME"].find { |text| !text.to_s.empty? }
abort "set WEBHOOK_SECRET to your endpoint's secret" if SECRET.end_with?("_REPLACE_ME")
# The key is what the secret, without whsec_, is the base64 of.
KEY = SECRET.delete_prefix("whsec_").unpack1("m")
abort "WEBHOOK_SECRET is not base64" if KEY.empty?
TOLERANCE_SECONDS = 300
BODY_BYTES_MAX = 1024 * 1024

# Raises ArgumentError unless Buildmarkets signed these bytes just now. `body` is exactly as it came: never parse it first.
def verify(env, body, now: Time.now.to_i)
  id, time, header = %w[webhook-id webhook-timestamp webhook-signature].map do |name|
    value = env["HTTP_#{name.upcase.tr("-", "_")}"].to_s
    value.empty? ? raise(ArgumentError, "no #{name} header") : value
  end
  raise ArgumentError, "the webhook-timestamp header is not a number of seconds" unless time.match?(/\A[0-9]{1,12}\z/)

  signatures = header.split(" ").grep(%r{\Av1,[A-Za-z0-9+/]{43}=\z})
  raise ArgumentError, "the webhook-signature header has no v1,<base64 of 32 bytes>" if signatures.empty?
  if (now - time.to_i).abs > TOLERANCE_SECONDS
    raise ArgumentError, "the timestamp is more than 300 s away from this clock"
  end

  expected = "v1," + [OpenSSL::HMAC.digest("SHA256", KEY, "#{id}.#{time}.".b + body.b)].pack("m0")
  # Several while a secret is rotated: one that fits is enough.
  return if signatures.any? { |signature| OpenSSL.fixed_length_secure_compare(signature, expected) }

  raise ArgumentError, "no signature fits: another secret, or the body is not the bytes that came"
end

# The events that were handled. In production: a unique column, written in the transaction that does the work.
HANDLED = {}
HANDLING = Mutex.new

Receiver = lambda do |env|
  answer = ->(status, text) { [status, { "content-type" => "text/plain" }, ["#{text}\n"]] }
  body = env["rack.input"].read(BODY_BYTES_MAX + 1) || ""
  next answer.call(413, "the body is larger than #{BODY_BYTES_MAX} bytes") if body.bytesize > BODY_BYTES_MAX

  begin
    verify(env, body)
  rescue ArgumentError => error
    next answer.call(400, error.message) # It appears in the delivery log, where you will look for it.
  end
  id = env["HTTP_WEBHOOK_ID"] # The event's: the same each time that it is sent.
  event = JSON.parse(body)
  HANDLING.synchronize do
    unless HANDLED.key?(id)
      # Only store the event here, in a table or a queue, and do the work after the answer.
      puts "received #{event["event_type"]} #{id}"
      HANDLED[id] = true
      HANDLED.shift if HANDLED.size > 10_000
    end
  end
  answer.call(200, "ok")
rescue StandardError => error
  warn error.full_message
  [500, { "content-type" => "text/plain" }, ["not handled: send it again\n"]] # Every 5xx is tried again.
end

# Enough of a server to try it out, because Ruby no longer comes with one.
if __FILE__ == $PROGRAM_NAME
  $stdout.sync = true
  server = TCPServer.new("127.0.0.1", Integer(ENV.fetch("PORT", "3000")))
  loop do
    Thread.new(server.accept) do |client|
      head = client.gets("\r\n\r\n", 65_536).to_s
      env = head.scan(/^([A-Za-z0-9-]+):[ \t]*([^\r\n]*)/).to_h { |name, value| ["HTTP_#{name.upcase.tr("-", "_")}", value] }
      length = [env["HTTP_CONTENT_LENGTH"].to_i, BODY_BYTES_MAX + 1].min
      env["rack.input"] = StringIO.new(client.read(length) || "")
      status, headers, parts = Receiver.call(env)
      lines = headers.map { |name, value| "#{name}: #{value}\r\n" }.join
      client.write("HTTP/1.1 #{status} \r\n#{lines}connection: close\r\n\r\n#{parts.join}")
    ensure
      client.close
    end
  end
end
