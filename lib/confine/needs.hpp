// SPDX-License-Identifier: Apache-2.0
// What each daemon needs once it has opened its sockets and the cache: the rest it can do without
// (confine.hpp). From values alone.
#pragma once

#include <string>
#include <vector>

#include "lib/config/settings.hpp"

namespace postfathom {

// What may be done with a place and all that is below it.
enum class Access {
    read,    // files and directories
    run,     // read, and start as a program
    share,   // read, write and create files: the cache for its readers, who write its lock file
    keep,    // share, and rename and remove files
    remove,  // remove files
    device,  // read and write
};

struct Place {
    std::string path;  // absolute
    Access access = Access::read;
    // A file of the configuration, whose name may come to another file: the directory is meant, and
    // where the file is a link, that of its target as well.
    bool is_file = false;
    // Of the configuration: where it is not there yet, its nearest directory that is stands for it.
    bool may_come = false;
    bool operator==(const Place&) const = default;
};

struct Needs {
    std::vector<Place> places;
    bool programs = false;  // may start programs
    bool network = false;   // may make other than UNIX sockets, and connect with TCP
};

// What the environment and Postfix say, for daemons that start programs or read certificates.
struct Surroundings {
    std::vector<std::string> program_directories;  // of PATH
    std::vector<std::string> directories;          // to be read: Postfix's, OpenSSL's
    std::vector<std::string> files;                // likewise: tables, certificates
};

// `file`: the configuration file, absolute; it is read again at SIGHUP.
Needs policyd_needs(const Settings& settings, const std::string& file,
                    const Surroundings& surroundings);
Needs milter_needs(const Settings& settings, const std::string& file);
Needs probed_needs(const Settings& settings, const std::string& file,
                   const Surroundings& surroundings);

// The paths in a value of main.cf: "hash:/etc/postfix/policy, proxy:ldap:/etc/postfix/ldap.cf".
std::vector<std::string> paths_in(std::string_view value);

}  // namespace postfathom
