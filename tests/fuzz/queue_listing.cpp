// SPDX-License-Identifier: Apache-2.0
// What `postqueue -j` prints, with senders' and servers' words in it.
#include "lib/mail_queue/groups.hpp"
#include "lib/mail_queue/listing.hpp"
#include "tests/fuzz/target.hpp"

namespace postfathom::fuzz {

const bool takes_pieces = true;

std::string tell(const Input& input) {
    std::string told;
    QueueListing listing([&](const QueuedMessage& message) {
        told += message.queue_name + ' ' + message.queue_id + ' ' +
                std::to_string(message.arrival_time) + ' ' + std::to_string(message.message_size) +
                ' ' + message.sender + (message.forced_expire ? " forced\n" : "\n");
        for (const auto& recipient : message.recipients)
            told += recipient.address + ' ' + recipient.delay_reason + '\n';
    });
    input.pieces([&](std::string_view bytes) { listing.bytes(bytes); });
    listing.end();
    return told + std::to_string(listing.messages()) + ' ' + std::to_string(listing.unreadable()) +
           ' ' + listing.first_fault();
}

}  // namespace postfathom::fuzz
