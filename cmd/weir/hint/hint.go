// Package hint has what commands say to do next.
package hint

// Credentials says where to take credentials from; may is what they have to permit, such as "read these series".
func Credentials(may string) string {
	return "pass --token or set WEIR_TOKEN to a key that may " + may + " (`weir key create`), or --data to the folder of a server on this machine"
}
